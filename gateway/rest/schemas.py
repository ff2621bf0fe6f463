"""JSON schemas of the contract's messages, as the encoder writes them."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

Schema = dict[str, Any]

_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.api.HttpBody": {"type": "string", "format": "binary"},
}
_SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "integer", "format": "int64", "minimum": 0},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
}


class Schemas:
    """Schemas by name, collected while operations ask for references to them."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self.collected: dict[str, Schema] = {}

    def of_message(self, message: Descriptor) -> Schema:
        """Return the schema of a message: a reference, or its own form if it is well known."""
        if message.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message.full_name])
        name = message.full_name
        if name not in self.collected:
            schema: Schema = {"type": "object", "additionalProperties": False}
            self.collected[name] = schema  # before its fields: types may be recursive
            schema["properties"] = {field.name: self.of_field(field) for field in message.fields}
            self._describe(schema, name)
        return {"$ref": f"#/components/schemas/{name}"}

    def of_field(self, field: FieldDescriptor) -> Schema:
        """Return the schema of a field with its comment."""
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            schema: Schema = {"type": "object", "additionalProperties": self.of_value(value)}
        elif field.is_repeated:
            schema = {"type": "array", "items": self.of_value(field)}
        else:
            schema = self.of_value(field)
        return self._describe(schema, field.full_name)

    def of_value(self, field: FieldDescriptor) -> Schema:
        """Return the schema of one value of a field."""
        if field.message_type is not None:
            return self.of_message(field.message_type)
        if field.enum_type is not None:
            return self._of_enum(field.enum_type)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return dict(_SCALARS.get(field.cpp_type, {"type": "string"}))

    def comment(self, name: str) -> str:
        """Return the comment on something of the contract."""
        return self._comments.get(name, "")

    def _of_enum(self, enum: EnumDescriptor) -> Schema:
        if enum.full_name not in self.collected:
            schema: Schema = {"type": "string", "enum": [value.name for value in enum.values]}
            self._describe(schema, enum.full_name)
            meanings = [f"{value.name}: {self.comment(f'{enum.full_name}.{value.name}')}" for value in enum.values]
            schema["description"] = "\n".join([schema.get("description", ""), *meanings]).strip()
            self.collected[enum.full_name] = schema
        return {"$ref": f"#/components/schemas/{enum.full_name}"}

    def _describe(self, schema: Schema, name: str) -> Schema:
        if comment := self.comment(name):
            schema["description"] = comment
        return schema
