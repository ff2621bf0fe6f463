"""Decisions that others take about access, on their way to the rooms that keep the trail.

Whoever stands outside of the mesh, such as the console's SSH server, reaches the gateway and no room.
"""

from collections.abc import Sequence

from kit.audit.chain import ChainedDecision
from kit.audit.decision import Decision
from kit.audit.trail import AuditWriter
from kit.errors import Unimplemented
from kit.ops.sources import AuditQuestion


class PassedOnTrail:
    """Takes decisions and shows none: the administrators' service asks the rooms for them.

    Args:
        writer: writes to a room that keeps the trail.
    """

    def __init__(self, writer: AuditWriter) -> None:
        self._writer = writer

    async def page(self, question: AuditQuestion, before: int | None, limit: int) -> Sequence[ChainedDecision]:
        """See `kit.ops.sources.AuditLog`."""
        raise Unimplemented

    async def append(self, decisions: Sequence[Decision]) -> None:
        """See `kit.ops.sources.AuditLog`."""
        await self._writer.append(decisions)
