"""The chain: every row of the trail holds the hash of the row before, so that a changed or missing row shows.

A row's hash is SHA-256 over a JSON array of its fields and the hash before it. Rows that have served their time are
removed from the front; the row that tells of it stays in the chain and names the hash at which it was cut.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from kit.audit.decision import Decision

RETENTION_METHOD = "RETENTION"
"""Method of the rows that tell of removed rows; their reason starts with `CUT` and the hash of the last one."""

CUT = "cut at "

_VERSION = 1
_LONGEST = {"endpoint": 512, "method": 16, "subject": 256, "auth_type": 64, "reason": 500, "tenant_id": 64}


@dataclass(frozen=True, slots=True)
class ChainedDecision:
    """A decision in the trail. `sequence` is its place, `prev_hash` the hash of the row before, empty for the first."""

    id: str
    sequence: int
    decision: Decision
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Break:
    """The first row at which the chain does not hold."""

    sequence: int
    id: str
    reason: str


class ChainCheck:
    """Checks rows that are given in their order, then says whether all is well.

    Attributes:
        rows: number of rows seen.
        head: hash of the last row seen, empty before the first.
        broken: the first row that does not hold, None so far.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.head = ""
        self.broken: Break | None = None
        self._first: ChainedDecision | None = None
        self._cut = ""

    def take(self, row: ChainedDecision) -> bool:
        """Check one row; returns whether the chain holds so far."""
        if self.broken is not None:
            return False
        if row.hash != hash_of(row.id, row.decision, row.prev_hash):
            self.broken = Break(row.sequence, row.id, "the row was changed: its hash does not fit what it holds")
        elif self._first is not None and row.prev_hash != self.head:
            self.broken = Break(row.sequence, row.id, "a row before it was removed, or this one was put in")
        else:
            self.rows += 1
            self.head = row.hash
            self._first = self._first or row
            if row.decision.method == RETENTION_METHOD:
                self._cut = row.decision.reason.removeprefix(CUT).partition(" ")[0]
        return self.broken is None

    def finish(self) -> Break | None:
        """Return the first row that does not hold, None if the chain is whole up to its last row."""
        first = self._first
        if self.broken is None and first is not None and first.prev_hash not in ("", self._cut):
            self.broken = Break(
                first.sequence, first.id, "rows before it are gone and no row tells that they had served their time"
            )
        return self.broken


def fit(decision: Decision) -> Decision:
    """Return the decision as the table can hold it: no NUL, no text without end."""
    texts = {name: getattr(decision, name).replace("\x00", "?")[:longest] for name, longest in _LONGEST.items()}
    return Decision(outcome=decision.outcome, time=decision.time, weight=decision.weight, rpc=decision.rpc, **texts)


def hash_of(row_id: str, decision: Decision, prev_hash: str) -> str:
    """Return the hash of a row, in hex."""
    fields = [
        _VERSION,
        row_id,
        _instant(decision.time),
        decision.outcome,
        decision.endpoint,
        decision.method,
        decision.subject,
        decision.auth_type,
        decision.reason,
        decision.tenant_id,
        prev_hash,
    ]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")
