"""Messages as JSON values: proto field names, enum names, 64-bit integers as numbers, defaults written out.

The standard mapping writes 64-bit integers as strings; our numbers stay far below 2^53, so browsers read them exactly.
"""

import base64
import math
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.rest.descriptors import descriptor_of

Encode = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WELL_KNOWN = "google.protobuf."
_encoders: dict[str, Encode] = {}


def to_json_value(message: Message) -> Any:
    """Return what `message` is in JSON; a well-known type gives its own form."""
    return _message_encoder(descriptor_of(message))(message)


def _message_encoder(descriptor: Descriptor) -> Encode:
    """Return the encoder of a message type, made once from its descriptor."""
    known = _encoders.get(descriptor.full_name)
    if known is not None:
        return known
    if descriptor.full_name == Timestamp.DESCRIPTOR.full_name:
        encode: Encode = _timestamp
    elif descriptor.full_name == Duration.DESCRIPTOR.full_name:
        encode = _duration
    elif descriptor.full_name.startswith(_WELL_KNOWN):
        encode = _well_known
    else:
        encode = _Fields(descriptor)
    _encoders[descriptor.full_name] = encode
    return encode


class _Fields:
    """Encodes the fields of one message type. The plan is made at the first use, so that types may be recursive."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._names: tuple[str, ...] = ()
        self._all: Callable[[Message], Any] | None = None
        self._special: list[tuple[str, bool, Encode | None]] = []

    def __call__(self, message: Message) -> dict[str, Any]:
        if self._all is None:
            self._make_plan()
        values = dict(zip(self._names, self._all(message), strict=True)) if self._all is not None else {}
        for name, has_presence, encode in self._special:
            if has_presence and not message.HasField(name):
                del values[name]
            elif encode is not None:
                values[name] = encode(values[name])
        return values

    def _make_plan(self) -> None:
        """Most fields are JSON as they are: all are read at once, then those that are not are seen to."""
        fields = self._descriptor.fields
        self._names = tuple(field.name for field in fields)
        plan = [(field.name, field.has_presence, _field_encoder(field)) for field in fields]
        self._special = [each for each in plan if each[1] or each[2] is not None]
        if len(self._names) == 1:
            only = attrgetter(self._names[0])
            self._all = lambda message: (only(message),)
        elif self._names:
            self._all = attrgetter(*self._names)


def _field_encoder(field: FieldDescriptor) -> Encode | None:
    """Return the encoder of a field's value, None if the value is JSON already."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = _one(field.message_type.fields_by_name["value"])
        return lambda entries: {str(key): value(entry) if value else entry for key, entry in entries.items()}
    one = _one(field)
    if field.is_repeated:
        return list if one is None else lambda values: [one(value) for value in values]
    return one


def _one(field: FieldDescriptor) -> Encode | None:
    if field.message_type is not None:
        return _message_encoder(field.message_type)
    if field.enum_type is not None:
        names = {value.number: value.name for value in field.enum_type.values}
        return lambda number: names.get(number, number)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda raw: base64.b64encode(raw).decode("ascii")
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return _shortest
    return None


def _shortest(value: float) -> float:
    """Return the shortest decimal that is the same 32-bit float: 0.9, not 0.8999999761581421."""
    if not math.isfinite(value):
        return value
    wire = struct.pack("<f", value)
    for digits in range(6, 10):  # nine always suffice
        short = float(f"{value:.{digits}g}")
        if struct.pack("<f", short) == wire:
            return short
    return value


def _timestamp(value: Timestamp) -> str:
    moment = _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)
    return moment.isoformat(timespec="milliseconds" if value.nanos % 1_000_000 == 0 else "microseconds")[:-6] + "Z"


def _duration(value: Duration) -> str:
    return str(value.ToJsonString())


def _well_known(value: Message) -> Any:
    return json_format.MessageToDict(value, preserving_proto_field_name=True)
