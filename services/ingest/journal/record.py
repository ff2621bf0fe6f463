"""A record of the journal: a header with length, checksum, sequence, kind and track, then the message itself.

    0        4        8            16     17       21
    length   crc32    sequence     kind   track    payload ...

All numbers are little-endian. The checksum covers everything but itself, so neither a torn write nor a run of zeros
after a power cut passes for a record.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

HEADER = struct.Struct("<IIQBI")
_LENGTH = struct.Struct("<I")
_REST = struct.Struct("<QBI")
MAX_PAYLOAD_BYTES = 1024 * 1024


class RecordKind(IntEnum):
    """What the payload is: a message of `agent.ingest.v1`."""

    OPEN = 1
    """SessionOpen: a connection began. Made by the server; takes no sequence."""
    TRACK = 2
    """TrackStart."""
    AUDIO = 3
    """AudioFrame."""
    GAP = 4
    """AudioGap."""
    TRACK_END = 5
    """TrackEnd."""
    END = 6
    """SessionEnd. Takes no sequence when the server made it for a client that did not come back."""
    CHUNK = 7
    """PutChunkRequest without its content: the samples of the chunk follow, from `start_sample` to `end_sample`."""


@dataclass(frozen=True, slots=True)
class Record:
    """One message of a session. `track` is 0 for what concerns the whole session."""

    sequence: int
    kind: RecordKind
    track: int
    payload: bytes

    def encode(self) -> bytes:
        """Return the record as it stands in the file."""
        rest = _REST.pack(self.sequence, self.kind, self.track)
        return (
            HEADER.pack(len(self.payload), _checksum(rest, self.payload), self.sequence, self.kind, self.track)
            + self.payload
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A whole record in a piece of the file, `[start, end)` counted from the beginning of the piece."""

    record: Record
    start: int
    end: int


def decode(data: bytes | memoryview, start: int = 0) -> Found | None:
    """Return the record at `start`; None if it is not all there or not as it was written."""
    if start + HEADER.size > len(data):
        return None
    length, checksum, sequence, kind, track = HEADER.unpack_from(data, start)
    end = start + HEADER.size + length
    if length > MAX_PAYLOAD_BYTES or end > len(data) or kind not in _KINDS:
        return None
    payload = bytes(data[start + HEADER.size : end])
    if _checksum(_REST.pack(sequence, kind, track), payload) != checksum:
        return None
    return Found(Record(sequence, RecordKind(kind), track, payload), start, end)


def decode_track(data: bytes, track: int) -> Iterator[Found | int]:
    """Yield the records of one track and of the whole session, and for those of other tracks only where they end.

    The data must begin at a record; what is not all there at its end is left out.
    """
    position = 0
    while position + HEADER.size <= len(data):
        length, _, _, _, owner = HEADER.unpack_from(data, position)
        end = position + HEADER.size + length
        if length > MAX_PAYLOAD_BYTES:
            raise CorruptRecord
        if end > len(data):
            return
        if owner not in (0, track):
            yield end
        else:
            found = decode(data, position)
            if found is None:
                raise CorruptRecord
            yield found
        position = end


class CorruptRecord(Exception):
    """A record that was whole when the journal was opened is no longer: the disk lost it."""


_KINDS = frozenset(RecordKind)


def _checksum(rest: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(rest, zlib.crc32(_LENGTH.pack(len(payload)))))
