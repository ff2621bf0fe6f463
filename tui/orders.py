"""Who we are to the gateway, and what an operator wants done. Nothing here needs gRPC: screens make orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

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

    @property
    def command(self) -> str:
        """The command line that gives the same order."""
        return command_line([self])


def job_order(action: str, queue: str, job_id: str, reason: str = "") -> Order:
    """Return the order about one dead letter."""
    verb = action.partition(".")[2]
    return Order(action, f"{queue}/{job_id}", f"{verb} job {job_id}", expected_state=DEAD, reason=reason)


_COMMANDS = {
    "session.join": "session join",
    "session.leave": "session leave",
    "session.reconnect": "session reconnect",
    "connector.reconcile": "connector reconcile",
    "connector.live_pull": "connector live-pull",
    "breaker.reset": "breaker reset",
    "job.requeue": "dlq requeue",
    "job.drop": "dlq drop",
    "delivery.retry": "report redeliver",
    "report.rebuild": "report rebuild",
}
_STATED = frozenset({"session.leave", "session.reconnect", "breaker.reset", "delivery.retry"})
"""Orders whose command line takes the state that was seen; dead letters are always expected to be dead."""


def command_line(orders: Sequence[Order]) -> str:
    """Return the command line that gives the same orders, which are of one kind and, if several, about one queue."""
    first = orders[0]
    words = ["agent-console", *_COMMANDS[first.action].split()]
    if first.action.startswith("job."):
        queue = first.target.partition("/")[0]
        words += [queue, *(order.target.partition("/")[2] for order in orders)]
        if first.action == "job.drop":
            words += ["--yes-drop", queue]
    elif first.action == "delivery.retry":
        words += first.target.split("/", 1)
    elif first.target:
        words.append(first.target)
    if first.provider:
        words += ["--provider", first.provider]
    if first.expected_state and first.action in _STATED:
        words += ["--expected", first.expected_state]
    if first.reason:
        words += ["--reason", first.reason]
    return " ".join(map(quote, words))
