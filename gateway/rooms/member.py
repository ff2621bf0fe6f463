"""A member of a call: who it is, and a bounded queue of what it has yet to be told."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from gateway.rooms.protocol import Role, server_message

QUEUE_MESSAGES = 256
"""Messages that may wait for a slow member; one more and it is let go."""


@dataclass(eq=False)
class Member:
    """One connection in a room. `order` counts joins: of two members the later one has the higher."""

    member_id: str
    name: str
    role: Role
    order: int
    joined_at: float
    """Seconds since 1970."""
    muted: bool = False
    recording: bool = True
    """Whether they may be recorded; False once they have withdrawn."""
    outgoing: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(QUEUE_MESSAGES))
    overflowed: asyncio.Event = field(default_factory=asyncio.Event)
    replaced: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_recorder(self) -> bool:
        """Whether this is the mesh's own recorder, shown as such to everybody."""
        return self.role == "recorder"

    def tell(self, kind: str, **fields: Any) -> None:
        """Queue a message. A member that does not keep up is marked for being let go; nobody waits for it."""
        try:
            self.outgoing.put_nowait(server_message(kind, **fields))
        except asyncio.QueueFull:
            self.overflowed.set()

    def shown(self) -> dict[str, Any]:
        """Return what everybody may know about the member."""
        return {
            "id": self.member_id,
            "name": self.name,
            "role": self.role,
            "muted": self.muted,
            "recording": self.recording,
            "joinedAt": self.joined_at,
        }

    def shown_to(self, viewer: "Member") -> dict[str, Any]:
        """Return the member as a peer of `viewer`: who offers, and who gives way when both do.

        The newcomer offers to people. People always offer to a recorder, which never offers and is never polite: its
        WebRTC stack knows no rollback.
        """
        initiator = not viewer.is_recorder and (self.is_recorder or viewer.order > self.order)
        polite = not viewer.is_recorder and (self.is_recorder or viewer.member_id < self.member_id)
        return {**self.shown(), "initiator": initiator, "polite": polite}
