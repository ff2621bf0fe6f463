"""Requests from bytes: what is no message of the contract, or holds text that no database keeps, is refused in words.

gRPC itself answers UNKNOWN to bytes that it cannot read, which reads like a bug of ours.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from kit.errors import InvalidArgument

Deserializer = Callable[[bytes], Any]


class Unreadable(InvalidArgument):
    """The bytes are not a message of this type."""

    def __init__(self) -> None:
        super().__init__("the message cannot be read: it is cut, of another type, or its text is not UTF-8")


def careful(deserialize: Deserializer, *, streams: bool) -> Deserializer:
    """Return the deserializer of a method, which refuses what nobody can work with.

    Args:
        deserialize: makes a message of bytes.
        streams: whether handlers read messages one by one; then the refusal is raised where they read. The one message
            of other methods is made before anybody could catch anything: the refusal is returned in its place.
    """

    def decode(data: bytes) -> Any:
        try:
            message = deserialize(data)
            if b"\0" in data and isinstance(message, Message):
                check_text(message)
        except DecodeError:
            refusal: InvalidArgument = Unreadable()
        except InvalidArgument as error:
            refusal = error
        else:
            return message
        if streams:
            raise refusal
        return refusal

    return decode


def check_text(message: Message) -> None:
    """Check that no text of a message holds the one character that PostgreSQL cannot keep.

    Raises:
        InvalidArgument: one does; names the field.
    """
    for path, text in _texts(message, ""):
        if "\0" in text:
            raise InvalidArgument("holds the character NUL", field=path)


@cache
def _holds_text(kind: Descriptor) -> bool:
    """Return whether messages of this type can hold text; those of audio cannot, and there are very many."""
    seen, left = {kind.full_name}, [kind]
    while left:
        for field in left.pop().fields:
            if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and field.type == FieldDescriptor.TYPE_STRING:
                return True
            if field.message_type is not None and field.message_type.full_name not in seen:
                seen.add(field.message_type.full_name)
                left.append(field.message_type)
    return False


def _texts(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        if field.message_type is not None and not _holds_text(field.message_type):
            continue
        path = f"{prefix}{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key, entry in value.items():
                yield from _texts_of(path, (key, entry))
        elif field.message_type is not None or field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            yield from _texts_of(path, value if field.is_repeated else (value,))


def _texts_of(path: str, values: Any) -> Iterator[tuple[str, str]]:
    for value in values:
        if isinstance(value, Message):
            yield from _texts(value, f"{path}.")
        elif isinstance(value, str):
            yield path, value
