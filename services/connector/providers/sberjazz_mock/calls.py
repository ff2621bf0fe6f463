"""Calls of the stand-in: what was said so far, cut into numbered chunks."""

import base64
import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.clock import monotonic
from kit.ids import new_id
from services.connector.providers.sberjazz_contract import CallState, Encoding
from services.connector.providers.sberjazz_mock.voices import Voice
from services.connector.spans import SAMPLE_RATE

_KEPT_SECONDS = 900.0


@dataclass
class Stay:
    """The recorder's stay in a call, from a join to a leave; its chunks are kept for a while after it."""

    voices: Sequence[Voice]
    chunk_samples: int
    encoding: Encoding
    connection_id: str = field(default_factory=lambda: f"stay-{new_id()}")
    began_at: float = field(default_factory=monotonic)
    ended_at: float | None = None
    out_since: float | None = None
    """When the recorder was thrown out; None while it is in."""
    holes: list[tuple[int, int]] = field(default_factory=list)
    """Samples `[start, end)` that were not recorded because the recorder was out."""

    @property
    def state(self) -> CallState:
        """Where the recorder stands."""
        if self.ended_at is not None:
            return CallState.ENDED
        return CallState.CONNECTED if self.out_since is None else CallState.DISCONNECTED

    @property
    def age_ms(self) -> int:
        """Time since the stay began."""
        return round((monotonic() - self.began_at) * 1000)

    @property
    def forgotten(self) -> bool:
        """Whether its chunks are kept no longer."""
        return self.ended_at is not None and monotonic() - self.ended_at > _KEPT_SECONDS

    def throw_out(self) -> None:
        """Lose the recorder, as a provider may."""
        if self.out_since is None:
            self.out_since = monotonic()

    def take_back(self) -> None:
        """Have the recorder again; what was said meanwhile is lost."""
        if self.out_since is not None:
            self.holes.append((self._sample(self.out_since), self._sample(monotonic())))
            self.out_since = None

    def end(self) -> None:
        """Stop recording; what was recorded stays."""
        if self.ended_at is None:
            self.take_back()
            self.ended_at = monotonic()

    def chunks(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return chunks with numbers above `after`, in order.

        Chunk `n` holds period `(n - 1) // voices` of voice `(n - 1) % voices`, so that a number always means the same.
        """
        found: list[dict[str, Any]] = []
        until = self._sample(self.ended_at or self.out_since or monotonic())
        while len(found) < limit:
            period, number = divmod(after, len(self.voices))
            start = period * self.chunk_samples
            end = start + self.chunk_samples
            if self.ended_at is not None:
                end = min(end, until)
            if start >= end or end > until:
                break
            after += 1
            if not any(start < hole_end and end > hole_start for hole_start, hole_end in self.holes):
                found.append(self._chunk(after, self.voices[number], start, end))
        return found

    def _sample(self, moment: float) -> int:
        return int((moment - self.began_at) * SAMPLE_RATE)

    def _chunk(self, sequence: int, voice: Voice, start: int, end: int) -> dict[str, Any]:
        pcm = voice.between(start, end)
        content = pcm if self.encoding is Encoding.S16LE else _wav(pcm)
        return {
            "sequence": sequence,
            "participant_id": voice.participant_id,
            "name": voice.name,
            "speaker": "own_track",
            "start_ms": start * 1000 // SAMPLE_RATE,
            "encoding": self.encoding.value,
            "sample_rate_hertz": SAMPLE_RATE,
            "audio": base64.b64encode(content).decode(),
        }


@dataclass
class Calls:
    """The calls of one stand-in by meeting; the latest stay of each last."""

    voices: Sequence[Voice]
    chunk_samples: int
    encoding: Encoding
    stays: dict[str, list[Stay]] = field(default_factory=dict)

    def join(self, meeting_id: str) -> Stay:
        """Return the recorder's stay, a new one if it had left."""
        stays = self.stays.setdefault(meeting_id, [])
        stays[:] = [stay for stay in stays if not stay.forgotten]
        if not stays or stays[-1].state is CallState.ENDED:
            stays.append(Stay(self.voices, self.chunk_samples, self.encoding))
        stays[-1].take_back()
        return stays[-1]

    def latest(self, meeting_id: str) -> Stay | None:
        """Return the stay that goes on, or the last."""
        stays = self.stays.get(meeting_id)
        return stays[-1] if stays else None

    def stay(self, meeting_id: str, connection_id: str) -> Stay | None:
        """Return a stay by its name."""
        return next((stay for stay in self.stays.get(meeting_id, ()) if stay.connection_id == connection_id), None)


def _wav(pcm: bytes) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(pcm)
    return content.getvalue()
