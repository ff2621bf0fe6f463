"""A provider that keeps chunks, as a script says: what each pull brings, and when the provider is away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.connector.provider import (
    Basis,
    CallRefused,
    Capabilities,
    Chunk,
    ChunkSink,
    Heard,
    JoinSpec,
    ProviderAway,
    ProviderKind,
    Pulled,
    SourceListener,
)
from services.connector.registry import Installed, Registry

BASE = "https://pull.example"


class ScriptedPulls:
    """A call for everybody who joins; see `PullProvider` and `PullSource`."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        """What was said and is kept."""
        self.away = 0
        """Requests that fail from now on."""
        self.refuses = ""
        """Why the call is not known, if it is not."""
        self.state = "connected"
        self.joins: list[tuple[bool, str]] = []
        """Each join: whether it was a rejoin, and from which cursor."""
        self.left = 0
        self.pulls = 0

    def base(self, spec: JoinSpec) -> str:
        """Return where it is."""
        return BASE

    async def probe(self) -> None:
        """Answer, or not."""
        self._answer()

    @asynccontextmanager
    async def open_pull(
        self, spec: JoinSpec, chunks: ChunkSink, listener: SourceListener, *, rejoin: bool
    ) -> AsyncIterator["ScriptedSource"]:
        """Join; a block that is cancelled stays in the call."""
        self._answer()
        self.joins.append((rejoin, spec.cursor))
        listener.entered()
        try:
            yield ScriptedSource(self, chunks, int(spec.cursor or 0))
        except asyncio.CancelledError:
            raise
        except BaseException:
            self.left += 1
            raise
        self.left += 1

    def _answer(self) -> None:
        if self.refuses:
            raise CallRefused(self.refuses)
        if self.away:
            self.away -= 1
            raise ProviderAway("503")


class ScriptedSource:
    """One stay in the call."""

    def __init__(self, provider: ScriptedPulls, chunks: ChunkSink, place: int) -> None:
        self._provider = provider
        self._chunks = chunks
        self._place = place

    @property
    def participants(self) -> Sequence[Heard]:
        """Return the only one."""
        return [Heard("p-1", "Anna", False, 0.0)]

    def withdraw(self, participant_id: str) -> bool:
        """Nobody withdraws here."""
        return False

    async def pull(self, limit: int) -> Pulled:
        """Fetch the next chunks."""
        self._provider.pulls += 1
        self._provider._answer()
        part = self._provider.chunks[self._place : self._place + limit]
        stored = 0
        for number, content in enumerate(part, self._place):
            stored += await self._chunks.put(
                Chunk(str(number), "p-1", "Anna", Basis.OWN_TRACK, content, "s16le", 16_000)
            )
        self._place += len(part)
        return Pulled(len(part), stored, len(part) - stored, 0, str(self._place))

    async def status(self) -> str:
        """Say how the call is."""
        self._provider._answer()
        return self._provider.state


def pull_registry(provider: ScriptedPulls) -> Registry:
    """Return a registry with this provider alone."""
    capabilities = Capabilities(own_tracks=True, mute_signals=False, pull=True)
    kind = ProviderKind("pull", "a script", BASE, capabilities, lambda settings, surroundings: provider)
    return Registry({"pull": Installed(kind, provider, "")}, "pull")
