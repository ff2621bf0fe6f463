"""One decision about access, and whoever keeps decisions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Outcome = Literal["allow", "deny"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a gate decided.

    `endpoint` and `method` are the path and the HTTP method for a call that came over HTTP, else the RPC and "GRPC";
    `weight` says what the call could do: "admin" asks for an administrator's scope, "write" changes something. `rpc` is
    the RPC in either case.
    """

    outcome: Outcome
    endpoint: str
    method: str
    subject: str
    auth_type: str
    reason: str
    tenant_id: str
    time: datetime
    weight: Literal["read", "write", "admin"] = "read"
    rpc: str = ""

    def log_fields(self) -> dict[str, str]:
        """Return what the log tells; it knows the time and the outcome by itself."""
        return {
            "endpoint": self.endpoint,
            "method": self.method,
            "subject": self.subject,
            "auth_type": self.auth_type,
            "reason": self.reason,
        }


class AuditSink(Protocol):
    """Keeps decisions."""

    def record(self, decision: Decision) -> None:
        """Take one decision; returns at once and never fails, whatever becomes of it."""


class NoTrail:
    """Keeps nothing; the log has the decisions all the same."""

    def record(self, decision: Decision) -> None:
        return
