"""JSON and query strings as messages, strictly: what the contract does not know is refused and named."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.rest.descriptors import descriptor_of, find_field
from kit.errors import InvalidArgument

# The standard mapping takes both alphabets, padded or not; its parser also takes anything else, silently.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_WHERE = re.compile(r"^Failed to parse (?P<field>[\w.]+) field: (?P<why>.*?)\.?$", re.DOTALL)
_UNKNOWN = re.compile(r'has no field named "(?P<field>[^"]*)"')
_INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_PLAIN: Mapping[int, type] = {FieldDescriptor.TYPE_STRING: str, FieldDescriptor.TYPE_BOOL: bool}
_plain_fields: dict[str, dict[str, tuple[type, str]]] = {}
_REALS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


def parse_body(raw: bytes, target: Message) -> None:
    """Fill `target` from a JSON body; an empty body fills nothing.

    Raises:
        InvalidArgument: it is not a JSON object, or a field is unknown or wrong; the field is named.
    """
    if not raw.strip():
        return
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument(f"the body is not JSON: {error}", field="body") from error
    parse_value(value, target)


def parse_value(value: Any, target: Message) -> None:
    """Fill `target` from a decoded JSON object.

    Raises:
        InvalidArgument: it is no object, or a field is unknown or wrong; the field is named.
    """
    if not isinstance(value, dict):
        raise InvalidArgument("must be a JSON object", field="body")
    rest = _take_plain(value, target)
    if not rest:
        return
    _check_bytes(rest, descriptor_of(target), "")
    try:
        json_format.ParseDict(rest, target)
    except json_format.ParseError as error:
        raise _explained(str(error)) from error


def _take_plain(value: dict[str, Any], target: Message) -> dict[str, Any]:
    """Set text and truth values under their own names at once; returns what the parser, which is slow, must look at."""
    plain = _plain_fields_of(descriptor_of(target))
    rest: dict[str, Any] = {}
    for key, inner in value.items():
        kind, other_name = plain.get(key, (None, ""))
        if type(inner) is kind and (other_name == key or other_name not in value):  # the parser refuses both names
            setattr(target, key, inner)
        else:
            rest[key] = inner
    return rest


def _plain_fields_of(descriptor: Descriptor) -> dict[str, tuple[type, str]]:
    """Return type and camelCase name of the fields that need no parser, found out once for a message type."""
    found = _plain_fields.get(descriptor.full_name)
    if found is None:
        found = _plain_fields[descriptor.full_name] = {
            field.name: (_PLAIN[field.type], field.camelcase_name)
            for field in descriptor.fields
            if field.type in _PLAIN
            and not field.is_repeated
            and field.containing_oneof is None  # the parser refuses two of one
            and not descriptor.full_name.startswith("google.protobuf.")
        }
    return found


def fill(message: Message, values: Mapping[str, Sequence[str]]) -> None:
    """Set fields from text, as it stands in a path or a query string. Dots lead into messages.

    Raises:
        InvalidArgument: a field is unknown or its text is not a value of it.
    """
    for path, texts in values.items():
        *parents, last = path.split(".")
        target = message
        for parent in parents:
            field = _find(descriptor_of(target), parent, path)
            if field.message_type is None or field.is_repeated:
                raise InvalidArgument("is not a message field", field=path)
            target = getattr(target, field.name)
        _set(target, _find(descriptor_of(target), last, path), texts, path)


def _set(target: Message, field: FieldDescriptor, texts: Sequence[str], path: str) -> None:
    if field.message_type is not None:
        # Timestamps, durations and masks are strings in JSON; an ordinary message has no place in a query string.
        try:
            json_format.Parse(json.dumps(texts[-1]), getattr(target, field.name))
        except (json_format.ParseError, TypeError, AttributeError) as error:
            raise InvalidArgument("cannot be given here", field=path) from error
        return
    values = [_scalar(field, text, path) for text in texts]
    try:
        if field.is_repeated:
            getattr(target, field.name).extend(values)
        else:
            setattr(target, field.name, values[-1])
    except ValueError as error:  # an integer out of its type's range
        raise InvalidArgument("is out of range", field=path) from error


def _scalar(field: FieldDescriptor, text: str, path: str) -> Any:
    try:
        if field.cpp_type in _INTEGERS:
            return int(text)
        if field.cpp_type in _REALS:
            return float(text)
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if field.enum_type is not None:
            return int(text) if text.isdecimal() else field.enum_type.values_by_name[text].number
        if field.type == FieldDescriptor.TYPE_BYTES:
            return _decoded(text)
    except (KeyError, ValueError) as error:
        raise InvalidArgument(f"{text[:64]!r} is not a value of this field", field=path) from error
    return text


def _find(message: Descriptor, name: str, path: str) -> FieldDescriptor:
    field = find_field(message, name)
    if field is None:
        raise InvalidArgument("there is no such parameter", field=path)
    return field


def _check_bytes(value: Any, message: Descriptor, prefix: str) -> None:
    """Refuse text that is not base64 wherever the contract has bytes."""
    if not isinstance(value, dict):
        return  # the parser says so, with the field's name
    for key, inner in value.items():
        field = find_field(message, key)
        if field is None:
            continue
        for item in inner if field.is_repeated and isinstance(inner, list) else [inner]:
            if field.type == FieldDescriptor.TYPE_BYTES and isinstance(item, str):
                if not _BASE64.fullmatch(item) or len(item.rstrip("=")) % 4 == 1:
                    raise InvalidArgument("is not base64", field=f"{prefix}{key}")
            elif field.message_type is not None and not field.message_type.full_name.startswith("google.protobuf."):
                _check_bytes(item, field.message_type, f"{prefix}{key}.")


def _decoded(text: str) -> bytes:
    if not _BASE64.fullmatch(text):
        raise ValueError("not base64")
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _explained(sentence: str) -> InvalidArgument:
    first = sentence.partition("\n")[0]
    if unknown := _UNKNOWN.search(first):
        return InvalidArgument("there is no such field", field=unknown["field"])
    if wrong := _WHERE.match(first):
        return InvalidArgument(wrong["why"], field=wrong["field"])
    return InvalidArgument(first, field="body")
