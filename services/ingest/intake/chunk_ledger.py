"""Chunks put so far, so that a repeated one is known: by number within its participant, or by idempotency key."""

import struct
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from agent.ingest.v1 import audio_service_pb2 as pb
from services.ingest.journal.record import Record

_SPAN = struct.Struct("<qq")


@dataclass(frozen=True, slots=True)
class ChunkMark:
    """One chunk: number `sequence` of its participant, samples `[start_sample, end_sample)` of `track`."""

    track: int
    participant_id: str
    sequence: int
    idempotency_key: str
    start_sample: int
    end_sample: int
    offset: int = 0
    """Of the mark in the journal, where it was read from one."""

    def encode(self) -> bytes:
        """Return the payload of the mark's record."""
        about = pb.PutChunkRequest(
            participant_id=self.participant_id, sequence=self.sequence, idempotency_key=self.idempotency_key
        )
        return _SPAN.pack(self.start_sample, self.end_sample) + about.SerializeToString()

    @classmethod
    def decode(cls, record: Record, offset: int) -> "ChunkMark":
        """Return the mark of a record.

        Raises:
            ValueError: it is not one.
        """
        try:
            start_sample, end_sample = _SPAN.unpack_from(record.payload)
            about = pb.PutChunkRequest.FromString(record.payload[_SPAN.size :])
        except (struct.error, DecodeError) as error:
            raise ValueError("not the mark of a chunk") from error
        return cls(
            track=record.track,
            participant_id=about.participant_id,
            sequence=about.sequence,
            idempotency_key=about.idempotency_key,
            start_sample=start_sample,
            end_sample=end_sample,
            offset=offset,
        )


class ChunkLedger:
    """The chunks of one session in the order they came."""

    def __init__(self) -> None:
        self._by_participant: dict[str, list[ChunkMark]] = {}
        self._by_key: dict[str, ChunkMark] = {}
        self.last: ChunkMark | None = None

    def add(self, mark: ChunkMark) -> None:
        """Note a chunk."""
        self._by_participant.setdefault(mark.participant_id, []).append(mark)
        if mark.idempotency_key:
            self._by_key[mark.idempotency_key] = mark
        self.last = mark

    def last_of_each(self) -> dict[str, dict[str, int | str]]:
        """Return what is kept of the chunks once the journal is gone: enough to acknowledge a repeated last one."""
        return {
            participant_id: {
                "sequence": marks[-1].sequence,
                "idempotency_key": marks[-1].idempotency_key,
                "start_sample": marks[-1].start_sample,
                "end_sample": marks[-1].end_sample,
            }
            for participant_id, marks in self._by_participant.items()
        }

    def next_sequence(self, participant_id: str) -> int:
        """Return the number that a participant's next chunk gets."""
        return len(self._by_participant.get(participant_id, ())) + 1

    def find(self, participant_id: str, sequence: int, idempotency_key: str) -> ChunkMark | None:
        """Return a chunk that was put before; None for a new one."""
        if idempotency_key and idempotency_key in self._by_key:
            return self._by_key[idempotency_key]
        marks = self._by_participant.get(participant_id, ())
        return marks[sequence - 1] if 0 < sequence <= len(marks) else None
