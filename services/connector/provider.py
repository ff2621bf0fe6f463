"""A provider: a kind of call the recorder can join. What every kind has in common, whatever it speaks.

A provider is one file under `providers/` that defines `KIND`; it is found by its name in `registry.py`, or by an entry
point of another package. It is of one of two families: *push*, whose audio arrives by itself and is written to tracks
as it comes, and *pull*, which keeps chunks until they are fetched.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from kit.auth.outgoing import Credential
from kit.settings import Section
from services.connector.clock import SessionClock
from services.connector.spans import Kind, Reason
from services.connector.webrtc.ice import IceAccess


class Basis(StrEnum):
    """How we know who speaks."""

    OWN_TRACK = "own_track"
    """The participant publishes this track alone."""
    ROSTER = "roster"
    """The call named who was speaking."""
    GUESS = "guess"
    """Nobody said; shown as "Speaker 2", never as a name."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can tell about a call, and do in it."""

    own_tracks: bool
    """Each participant's voice comes alone, so who speaks is known."""
    mute_signals: bool
    """The call says who is muted."""
    pull: bool = False
    """Audio is fetched in chunks instead of received live."""
    chat: bool = False
    """The recorder can post its notice."""


@dataclass(frozen=True, slots=True)
class JoinSpec:
    """Which call to join for which meeting.

    `meeting_url` is empty for the mesh's own room of the meeting; `language` is an ISO 639-1 code or empty;
    `session_id` names the recorder's session, the same after a restart; `cursor` is what a pull source remembered,
    `withdrawn` who had withdrawn from the recording.
    """

    meeting_id: str
    tenant_id: str
    meeting_url: str = ""
    language: str = ""
    session_id: str = ""
    cursor: str = ""
    withdrawn: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Heard:
    """A participant as the source knows them now; `loss` is the share of packets lost lately, in [0, 1]."""

    participant_id: str
    display_name: str
    muted: bool
    loss: float
    basis: Basis = Basis.OWN_TRACK
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the recorder waits, in seconds.

    `empty_room` after the last person left, or `first_person` after joining with nobody coming, a call is over; it is
    lost when it cannot be joined again for `rejoin`.
    """

    empty_room: float = 10.0
    first_person: float = 900.0
    rejoin: float = 120.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every provider may use.

    `api_key` proves the recorder to the gateway at `gateway_url` and to nobody else. `notice` is posted in every call
    that has a chat. `ice` names the STUN and TURN servers of our own.
    """

    gateway_url: str
    api_key: Credential | None
    recorder_name: str = "Interview recorder"
    notice: str = ""
    patience: Patience = Patience()
    ice: IceAccess = field(default_factory=IceAccess)


class SourceLost(Exception):
    """The call cannot be joined or was lost for good; the message says why, without names. Media faults are this."""


class ProviderAway(SourceLost):
    """The provider could not be reached or failed (timeout, 5xx): another try may help, and its breaker counts it."""

    retryable = True
    """Whether that may be at once; an answer that nobody can read is worth no second one now."""


class CallRefused(SourceLost):
    """The provider refused (credentials, no such call, a request it does not take): another try would end the same."""


class TrackWriter(Protocol):
    """Takes the tracks of a session. Spans of one track follow on from each other; nothing here ever waits."""

    def start_track(self, participant_id: str, display_name: str, basis: Basis, start_sample: int) -> int:
        """Introduce a participant; returns the number of their track.

        A participant whose track was left open by a source that was abandoned goes on with it: what lies between is a
        gap, because the recorder was away.
        """

    def audio(self, track: int, start_sample: int, pcm: bytes, kind: Kind) -> None:
        """Take samples: s16le, mono, 16 kHz."""

    def gap(self, track: int, start_sample: int, end_sample: int, reason: Reason) -> None:
        """Take a span without samples."""

    def end_track(self, track: int, end_sample: int) -> None:
        """Nothing more will come on the track."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a participant's audio as a pull provider keeps it.

    `key` names it within the meeting for ever: a chunk with a known key is never stored twice. `encoding` is "s16le"
    with `sample_rate_hertz`, or empty for a file that says by itself what it is. `start_ms` is its place on the
    meeting's timeline; None for right after the one before.
    """

    key: str
    participant_id: str
    display_name: str
    basis: Basis
    content: bytes
    encoding: str = ""
    sample_rate_hertz: int = 0
    start_ms: int | None = None


class ChunkRefused(Exception):
    """Ingest cannot read the chunk and never will; the message says why."""


class ChunkSink(Protocol):
    """Takes chunks."""

    async def put(self, chunk: Chunk) -> bool:
        """Bring a chunk to ingest's disk; returns False if it had come before.

        Raises:
            ChunkRefused: it cannot be read.
            Unavailable: ingest is away; the same chunk may be put again.
        """


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

    def told(self, participant_id: str, display_name: str, channel: str) -> None:
        """A participant was told of the recording: by "chat", or by the "roster" that shows the recorder."""

    def withdrew(self, participant_id: str) -> None:
        """A participant withdrew from the recording, which ended for them at that moment."""

    def consented(self, participant_id: str) -> None:
        """A participant who had withdrawn consents again; they are recorded from that moment on."""


class Source(Protocol):
    """The recorder's ear in one call that pushes its audio."""

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is in the call now, the recorder aside."""

    async def over(self) -> str:
        """Wait until the call has ended by itself; returns why.

        Raises:
            SourceLost: the call was lost for good.
        """

    def withdraw(self, participant_id: str) -> bool:
        """Stop recording a participant from this moment on; returns whether there is one of this id."""

    def finish(self) -> int:
        """Close every track at one common sample and return it; nothing is written after this."""

    def abandon(self) -> None:
        """Write nothing more and leave every track open: the recorder comes back to this call by another source."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull brought: chunks fetched, stored, known before, and not readable."""

    fetched: int = 0
    stored: int = 0
    duplicates: int = 0
    invalid: int = 0
    cursor: str = ""
    """Where the next pull goes on, also after a restart."""


class PullSource(Protocol):
    """The recorder's ear in one call that keeps its audio until it is fetched."""

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is in the call as far as the provider says."""

    def withdraw(self, participant_id: str) -> bool:
        """Store nothing that a participant says from this moment on; returns whether there is one of this id."""

    async def pull(self, limit: int) -> Pulled:
        """Fetch at most `limit` chunks and store them.

        Raises:
            ProviderAway: the provider failed; what was stored stays.
            CallRefused: the provider does not know the call any more.
            Unavailable: ingest is away.
        """

    async def status(self) -> str:
        """Ask whether the recorder is in the call: "connected", "disconnected" or "ended".

        Raises:
            ProviderAway: the provider failed.
            CallRefused: the provider refuses to say.
        """


class Provider(Protocol):
    """A kind of call that pushes its audio."""

    def base(self, spec: JoinSpec) -> str:
        """Return the address whose failures are counted together by a circuit breaker; empty for none."""

    async def probe(self) -> None:
        """Ask the provider whether it answers.

        Raises:
            ProviderAway: it does not.
            CallRefused: it refuses our credentials.
        """

    def open_source(
        self, spec: JoinSpec, clock: SessionClock, tracks: TrackWriter, listener: SourceListener
    ) -> AbstractAsyncContextManager[Source]:
        """Join the call for the block; returns once the recorder is on its way in.

        Raises:
            CallRefused: the call's address is not one of this provider's, or it refuses.
            ProviderAway: it cannot be reached.
        """


class PullProvider(Protocol):
    """A kind of call that keeps its audio until it is fetched."""

    def base(self, spec: JoinSpec) -> str:
        """Return the address whose failures are counted together by a circuit breaker; empty for none."""

    async def probe(self) -> None:
        """Ask the provider whether it answers; see `Provider.probe`."""

    def open_pull(
        self, spec: JoinSpec, chunks: ChunkSink, listener: SourceListener, *, rejoin: bool
    ) -> AbstractAsyncContextManager[PullSource]:
        """Join the call; a `rejoin` finds the recorder there already, perhaps, and must not fail because of it.

        Leaving the block leaves the call and fetches what is left, unless a `CancelledError` goes through it because
        the process is being stopped: then the provider goes on keeping chunks, and whoever takes the session up fetches
        them.

        Raises:
            CallRefused: the call's address is not one of this provider's, or it refuses.
            ProviderAway: it cannot be reached.
        """


def address_parts(meeting_url: str) -> SplitResult:
    """Split the address of a meeting; every part of what can be none is empty, and no provider takes that."""
    try:
        parts = urlsplit(meeting_url)
        _ = parts.port  # it is read only here, and may be none
    except ValueError:
        return urlsplit("")
    return parts


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """A provider as its file describes it.

    `make` gets the read settings (None without a section) and the surroundings, and returns a `Provider` or, if the
    capabilities say so, a `PullProvider`. `off` returns what to set for the provider to be usable, empty if it is.
    """

    name: str
    summary: str
    address_form: str
    capabilities: Capabilities
    make: Callable[[Any, Surroundings], Provider | PullProvider]
    settings: type[Section] | None = None
    off: Callable[[Any], str] = lambda settings: ""
