"""Descriptors: what a message type holds, by the names that JSON and annotations use."""

from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message


class FieldUnknown(LookupError):
    """A message type has no such field."""


def descriptor_of(message: Message) -> Descriptor:
    """Return the descriptor of a message; the stubs know a second class for the same thing."""
    return cast("Descriptor", message.DESCRIPTOR)


def find_field(message: Descriptor, name: str) -> FieldDescriptor | None:
    """Return a field by its proto name or its camelCase name, None if there is none."""
    return message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)


def field_at(message: Descriptor, path: str) -> FieldDescriptor:
    """Return the field at a dotted path of proto names.

    Raises:
        FieldUnknown: there is none.
    """
    *parents, last = path.split(".")
    for parent in parents:
        field = message.fields_by_name.get(parent)
        if field is None or field.message_type is None:
            raise FieldUnknown(f"{message.full_name} has no message field {parent!r}")
        message = field.message_type
    if last not in message.fields_by_name:
        raise FieldUnknown(f"{message.full_name} has no field {last!r}")
    return message.fields_by_name[last]
