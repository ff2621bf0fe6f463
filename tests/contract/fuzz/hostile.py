"""Messages that no honest client sends: by the contract's descriptors, from one seeded source of chance."""

import random
import struct
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_DEPTH = 4
_LONG = 100_000
_STRINGS = (
    "",
    " ",
    "\0",
    "a\0b",
    "default",
    "room",
    "sberjazz_mock",
    "en",
    "ru",
    "raw",
    "json",
    "mp3",
    "realtime",
    "../../../../etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:1/",
    "ws://[::1]:1/v1/rooms/x/signal",
    "http://[",
    "'; DROP TABLE meetings; --",
    "%s%n{0}{}",
    "\u202e\ufeff\u0300",
    "🧨" * 100,
    "\ud7ff\ue000\U0010ffff",
    "-1",
    "9" * 400,
    "0199a7c2-0000-7000-8000-000000000000",
    "00000000-0000-0000-0000-00000000000g",
    "2026-13-45T99:99:99Z",
    "{" * 5_000,
    "eyJvIjoxfQ==",
    "\n\r\t",
)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"))
_WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}


class Hostile:
    """Makes messages as bytes, the same ones for the same seed.

    Args:
        seed: of chance.
        known_ids: what stands where an identifier is wanted, most of the time, so that messages get past the door.
    """

    def __init__(self, seed: str, known_ids: Sequence[str]) -> None:
        self._dice = random.Random(seed)
        self._known = known_ids

    def chance(self, probability: float) -> bool:
        """Throw the dice."""
        return self._dice.random() < probability

    def request(self, descriptor: Descriptor) -> bytes:
        """Return a message of a type, whole or broken."""
        return self._perhaps_broken(self._filled(descriptor, 0))

    def stream(self, descriptor: Descriptor, length: int) -> list[bytes]:
        """Return the messages of a stream; most begin as they should, and some are numbered as they should be."""
        messages: list[Any] = [self._filled(descriptor, 0) for _ in range(length)]
        if "open" in descriptor.fields_by_name and self.chance(0.8):
            opening: Any = GetMessageClass(descriptor)()
            opening.open.CopyFrom(self._value(descriptor.fields_by_name["open"], 0))
            messages.insert(0, opening)
        if "sequence" in descriptor.fields_by_name and self.chance(0.7):
            for number, message in enumerate(messages[1:], 1):
                message.sequence = number
        return [self._perhaps_broken(message) for message in messages]

    def _perhaps_broken(self, message: Message) -> bytes:
        if self.chance(0.05):
            return self._dice.randbytes(self._dice.choice((1, 10, 1_000)))
        data = message.SerializeToString()
        match self._dice.choices(("whole", "cut", "flipped", "unknown", "repeated"), (12, 1, 1, 1, 1))[0]:
            case "cut":
                return data[: self._dice.randrange(len(data) + 1)]
            case "flipped" if data:
                at = self._dice.randrange(len(data))
                return data[:at] + bytes([data[at] ^ (1 << self._dice.randrange(8))]) + data[at + 1 :]
            case "unknown":  # field 4095 of each wire type, at once
                return data + b"\xf8\xff\x01\x01" + b"\xfa\xff\x01\x02hi" + b"\xfd\xff\x01\0\0\0\0"
            case "repeated":
                return data * 3
        return data

    def _filled(self, descriptor: Descriptor, depth: int) -> Message:
        message = GetMessageClass(descriptor)()
        often = self._dice.choice((0.2, 0.6, 1.0))
        chosen = {oneof.name: self._dice.choice(oneof.fields).name for oneof in descriptor.oneofs}
        for field in descriptor.fields:
            oneof = field.containing_oneof
            if oneof is not None and chosen[oneof.name] != field.name:
                continue
            if not self.chance(often) or (field.message_type is not None and depth >= _DEPTH):
                continue
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                self._fill_map(message, field)
            elif field.is_repeated:
                values = [self._value(field, depth) for _ in range(self._dice.choice((1, 2, 30)))]
                getattr(message, field.name).extend(values)
            elif field.message_type is not None:
                getattr(message, field.name).CopyFrom(self._value(field, depth))
            else:
                setattr(message, field.name, self._value(field, depth))
        return message

    def _fill_map(self, message: Message, field: FieldDescriptor) -> None:
        entries: Any = getattr(message, field.name)
        for _ in range(self._dice.choice((1, 20))):
            key = self._text("")
            value = field.message_type.fields_by_name["value"] if field.message_type else field
            if value.message_type is not None:
                entries[key].SetInParent()
            else:
                entries[key] = self._value(value, _DEPTH)

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        if field.message_type is not None:
            return self._filled(field.message_type, depth + 1)
        if field.enum_type is not None:
            return self._dice.choice([*(value.number for value in field.enum_type.values), -1, 77, (1 << 31) - 1])
        if field.cpp_type in _WHOLE:
            low, high = _WHOLE[field.cpp_type]
            return self._dice.choice((0, 1, 2, max(low, -1), 16_000, low, high, self._dice.randint(low, high)))
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return self.chance(0.5)
        if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
            return self._dice.choice([number for number in _FLOATS if abs(number) != 1e308])
        if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
            return self._dice.choice(_FLOATS)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._bytes()
        return self._text(field.name)

    def _text(self, name: str) -> str:
        if name in ("meeting_id", "room", "job_id", "session_id") and self.chance(0.7):
            return self._dice.choice(self._known)
        if self.chance(0.03):
            return self._dice.choice("xя🧨\0") * self._dice.choice((300, 5_000, _LONG))
        return self._dice.choice(_STRINGS)

    def _bytes(self) -> bytes:
        sound = struct.pack("<8h", *(self._dice.randint(-(1 << 15), (1 << 15) - 1) for _ in range(8)))
        return self._dice.choice(
            (b"", b"\0", sound * 200, sound * 2_049, b"RIFF\xff\xff\xff\xffWAVE", b"OggS" + self._dice.randbytes(60))
        )
