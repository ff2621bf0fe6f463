"""A decision: one line of the ledger of reconciliation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Action(StrEnum):
    """What was done."""

    NONE = "none"
    REJOIN = "rejoin"
    RECONNECT = "reconnect"
    FINISH = "finish"
    FAIL = "fail"
    RESET = "reset"


class Source(StrEnum):
    """Who asked for a run."""

    WORKER = "worker"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was wanted ("in_call", "out_of_call" or "closed"), what was seen, what was done, and why.

    `meeting_id`, `session_id` and `tenant_id` are empty for a breaker. `sequence` orders the ledger; it is 0 until the
    decision is written down.
    """

    provider: str
    desired: str
    observed: str
    action: Action
    reason: str
    source: Source
    time: datetime
    tenant_id: str = ""
    meeting_id: str = ""
    session_id: str = ""
    sequence: int = 0


class DecisionLedger(Protocol):
    """Keeps decisions. Methods raise Unavailable while the database is away."""

    async def add(self, decision: Decision) -> None:
        """Write a decision down."""

    async def page(
        self, tenant_id: str, size: int, before: int | None, *, provider: str = "", meeting_id: str = ""
    ) -> Sequence[Decision]:
        """Return the decisions on a tenant's sessions and on breakers, newest first, older than a sequence."""

    async def forget(self) -> None:
        """Drop what is too old to matter."""
