"""A chunk sink that keeps what it is given, and a listener that remembers what it was told."""

from dataclasses import dataclass, field

from kit.errors import Unavailable
from services.connector.provider import Chunk, ChunkRefused


@dataclass
class MemoryChunks:
    """Keeps chunks; knows a key that came before, as ingest does."""

    chunks: list[Chunk] = field(default_factory=list)
    unreadable: bytes = b"\x00\x01\x02\x03\x04\x05\x06\x07"
    """Content that is refused."""
    away: bool = False
    keys: set[str] = field(default_factory=set)

    async def put(self, chunk: Chunk) -> bool:
        """Keep a chunk."""
        if self.away:
            raise Unavailable("ingest is away")
        if chunk.content == self.unreadable:
            raise ChunkRefused("INVALID_ARGUMENT: not audio")
        if chunk.key in self.keys:
            return False
        self.keys.add(chunk.key)
        self.chunks.append(chunk)
        return True

    def said(self, participant_id: str) -> bytes:
        """Return a participant's samples in the order in which they came."""
        return b"".join(chunk.content for chunk in self.chunks if chunk.participant_id == participant_id)


@dataclass
class Notes:
    """Remembers what a source told its listener, by the method's name."""

    events: list[tuple[str, ...]] = field(default_factory=list)

    def entered(self) -> None:
        self.events.append(("entered",))

    def live(self) -> None:
        self.events.append(("live",))

    def degraded(self, reason: str) -> None:
        self.events.append(("degraded", reason))

    def recovered(self) -> None:
        self.events.append(("recovered",))

    def reconnecting(self, reason: str) -> None:
        self.events.append(("reconnecting", reason))

    def told(self, participant_id: str, display_name: str, channel: str) -> None:
        self.events.append(("told", participant_id, display_name, channel))

    def withdrew(self, participant_id: str) -> None:
        self.events.append(("withdrew", participant_id))

    def consented(self, participant_id: str) -> None:
        self.events.append(("consented", participant_id))
