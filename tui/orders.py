"""Who we are to the gateway, and what an operator wants done. Nothing here needs gRPC: screens make orders."""

from dataclasses import dataclass

DEAD = "dead"
"""State of a job that gave up."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who the gateway takes us for."""

    subject: str
    role: str
    auth_type: str
    tenant_id: str
    scopes: tuple[str, ...]

    @property
    def may_act(self) -> bool:
        """Whether orders are not refused from the start; the server decides."""
        return self.role != "viewer"


@dataclass(frozen=True, slots=True)
class Order:
    """One operator action, with the state that was seen. `doing` completes "Could not ..."."""

    action: str
    target: str
    doing: str
    expected_state: str = ""
    provider: str = ""
    reason: str = ""


def job_order(action: str, queue: str, job_id: str, reason: str = "") -> Order:
    """Return the order about one dead letter."""
    verb = action.partition(".")[2]
    return Order(action, f"{queue}/{job_id}", f"{verb} job {job_id}", expected_state=DEAD, reason=reason)
