"""Binary audio frames of the WebSocket: a header of 20 bytes, then samples.

    offset  bytes  field
    0       8      sequence, unsigned: number of the message within the session
    8       4      track, unsigned: number of the track
    12      8      start_sample, signed: first sample at 16 kHz on the meeting's timeline
    20      n      samples: signed 16-bit little-endian, mono, 16 kHz; at most 32 KiB

All numbers are little-endian, as the samples are.
"""

import struct
from dataclasses import dataclass

from agent.ingest.v1 import audio_service_pb2 as pb
from kit.errors import InvalidArgument

MAX_PCM_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A number in the header; `code` is its form in Python's `struct`."""

    name: str
    code: str
    meaning: str


HEADER_FIELDS = (
    HeaderField("sequence", "Q", "Number of the message within the session, unsigned."),
    HeaderField("track", "I", "Number of the track, unsigned."),
    HeaderField("start_sample", "q", "First sample at 16 kHz on the meeting's timeline, signed."),
)

_HEADER = struct.Struct("<" + "".join(field.code for field in HEADER_FIELDS))


def decode_frame(data: bytes) -> pb.StreamAudioRequest:
    """Return the message that a binary frame carries.

    Raises:
        InvalidArgument: it is shorter than its header, holds half a sample, or too many.
    """
    if len(data) < _HEADER.size:
        raise InvalidArgument(f"a binary frame starts with {_HEADER.size} bytes of header", field="header")
    pcm = data[_HEADER.size :]
    if len(pcm) % 2:
        raise InvalidArgument("holds half a sample", field="pcm")
    if len(pcm) > MAX_PCM_BYTES:
        raise InvalidArgument(f"at most {MAX_PCM_BYTES} bytes", field="pcm")
    sequence, track, start_sample = _HEADER.unpack_from(data)
    audio = pb.AudioFrame(track=track, start_sample=start_sample, pcm=pcm)
    return pb.StreamAudioRequest(sequence=sequence, audio=audio)


def encode_frame(sequence: int, track: int, start_sample: int, pcm: bytes) -> bytes:
    """Return the binary frame for samples; what a client sends."""
    return _HEADER.pack(sequence, track, start_sample) + pcm
