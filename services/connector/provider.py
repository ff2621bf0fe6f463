"""A provider: a kind of call the recorder can join. What every kind has in common, whatever it speaks."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from services.connector.clock import SessionClock
from services.connector.spans import Kind, Reason


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can tell about a call."""

    own_tracks: bool
    """Each participant's voice comes alone, so who speaks is known."""
    mute_signals: bool
    """The call says who is muted."""
    pull: bool = False
    """Audio is fetched in chunks instead of received live."""


@dataclass(frozen=True, slots=True)
class JoinSpec:
    """Which call to join for which meeting.

    `meeting_url` is empty for the mesh's own room of the meeting; `language` is an ISO 639-1 code or empty.
    """

    meeting_id: str
    tenant_id: str
    meeting_url: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """A participant as the source knows them now; `loss` is the share of packets lost lately, in [0, 1]."""

    participant_id: str
    display_name: str
    muted: bool
    loss: float


class TrackWriter(Protocol):
    """Takes the tracks of a session. Spans of one track follow on from each other; nothing here ever waits."""

    def start_track(self, participant_id: str, display_name: str, start_sample: int) -> int:
        """Introduce a participant; returns the number of their track."""

    def audio(self, track: int, start_sample: int, pcm: bytes, kind: Kind) -> None:
        """Take samples: s16le, mono, 16 kHz."""

    def gap(self, track: int, start_sample: int, end_sample: int, reason: Reason) -> None:
        """Take a span without samples."""

    def end_track(self, track: int, end_sample: int) -> None:
        """Nothing more will come on the track."""


class SourceListener(Protocol):
    """Is told how the call goes."""

    def entered(self) -> None:
        """The recorder is in the call."""

    def live(self) -> None:
        """Sample 0 is now."""

    def degraded(self, reason: str) -> None:
        """In, but somebody who is not muted is not heard."""

    def recovered(self) -> None:
        """All is well again."""

    def reconnecting(self, reason: str) -> None:
        """The recorder lost the call and is coming back."""


class Source(Protocol):
    """The recorder's ear in one call."""

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is in the call now, the recorder aside."""

    async def over(self) -> str:
        """Wait until the call has ended by itself; returns why.

        Raises:
            SourceLost: the call was lost for good.
        """

    def finish(self) -> int:
        """Close every track at one common sample and return it; nothing is written after this."""


class SourceLost(Exception):
    """The call cannot be joined or was lost for good; the message says why."""


class Provider(Protocol):
    """A kind of call."""

    @property
    def name(self) -> str:
        """Its name in requests and settings."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can tell."""

    def open_source(
        self, spec: JoinSpec, clock: SessionClock, tracks: TrackWriter, listener: SourceListener
    ) -> AbstractAsyncContextManager[Source]:
        """Join the call for the block; returns once the recorder is on its way in.

        Raises:
            SourceLost: the call's address is not one of this provider's.
        """
