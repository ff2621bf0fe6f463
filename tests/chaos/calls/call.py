"""A call: what its client has sent, what it was promised, and what must not have happened to it."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2
import numpy as np

from examples.interview.interview import SAMPLE_RATE_HERTZ, Track
from kit.ids import new_id
from tests.chaos.sample import Sample

TENANT = "default"
_TICK_SECONDS = 0.05
_RETRY_SECONDS = (0.1, 1.0)
_REQUEST_SECONDS = 10.0
_AGAIN_LATER = frozenset({408, 429, 499, 500, 502, 503, 504})


class CallBroken(Exception):
    """The mesh refused what it must take; the message says what it said."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where clients come in, through links of their own."""

    ingest: str
    """gRPC target of every replica."""
    gateway: str
    """Base address of HTTP."""
    user_key: str
    service_key: str
    pace: float
    """Speed of speech: 1 is real time."""


@dataclass
class Call:
    """One call of one kind. `kept` holds what was acknowledged, as s16le by participant."""

    kind: str
    sample: Sample
    number: int = 0
    meeting_id: str = ""
    acknowledged: bool = False
    """Whether the client was told that everything is on disk."""
    connections: int = 0
    kept: dict[str, bytearray] = field(default_factory=dict)
    problem: str = ""
    """What broke the call, empty if nothing did."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind} #{self.number} ({self.sample.name}, meeting {self.meeting_id})"

    def keep(self, participant: str, pcm: bytes) -> None:
        """Note that the samples which follow on from the last were acknowledged."""
        self.kept.setdefault(participant, bytearray()).extend(pcm)

    def sent(self, participant: str) -> Track:
        """What was acknowledged of a participant."""
        return np.frombuffer(bytes(self.kept.get(participant, b"")), "<i2").astype(np.int16)

    def acknowledge_all(self) -> None:
        """Note that the client was told that everything is on disk.

        Raises:
            CallBroken: it was not told so of every sample.
        """
        for name, track in self.sample.tracks.items():
            if not np.array_equal(self.sent(name), track):
                raise CallBroken(f"the end was acknowledged before all of {name}")
        self.acknowledged = True


class Kind(Protocol):
    """A kind of call."""

    async def __call__(self, call: Call, doors: Doors) -> None:
        """Hold the call until everything is acknowledged.

        Raises:
            CallBroken: the mesh refused what it must take.
        """


async def start_meeting(call: Call, http: httpx2.AsyncClient, mode: str, *, recorder: bool = False) -> None:
    """Make the call's meeting, however often that takes."""
    body = {
        "title": f"chaos {call.kind} {call.number}",
        "mode": mode,
        "language": call.sample.language,
        "auto_join_connector": recorder,
        "request_id": new_id(),
    }
    answer = await post(http, "/v1/meetings/start", body)
    call.meeting_id = str(answer["meeting_id"])


def open_http(doors: Doors) -> httpx2.AsyncClient:
    """A client of the gateway."""
    headers = {"X-API-Key": doors.user_key}
    return httpx2.AsyncClient(base_url=doors.gateway, headers=headers, timeout=_REQUEST_SECONDS, trust_env=False)


async def post(http: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a request until it is answered; it must bear repetition.

    Raises:
        CallBroken: the answer is a refusal.
    """
    pause, longest = _RETRY_SECONDS
    while True:
        try:
            response = await http.post(path, json=body)
        except httpx2.TransportError:
            response = None
        if response is not None:
            if response.is_success:
                answer: dict[str, Any] = response.json()
                return answer
            if response.status_code not in _AGAIN_LATER:
                raise CallBroken(f"{path}: {response.status_code} {response.text[:300]}")
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)


async def paced(sample: Sample, pace: float, step_seconds: float = 0.1) -> AsyncIterator[tuple[int, dict[str, bytes]]]:
    """Yield what every participant says, step by step, `pace` times as fast as they speak.

    Yields:
        First sample, and s16le by participant; the last step may be shorter.
    """
    step = round(step_seconds * SAMPLE_RATE_HERTZ)
    began = time.monotonic()
    for start in range(0, sample.samples, step):
        ahead = start / SAMPLE_RATE_HERTZ / pace - (time.monotonic() - began)
        if ahead > _TICK_SECONDS:
            await asyncio.sleep(ahead)
        yield (
            start,
            {name: track[start : start + step].astype("<i2").tobytes() for name, track in sample.tracks.items()},
        )
