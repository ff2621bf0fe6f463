"""How a socket ends: WebSocket close codes from the status of the call behind it."""

from collections.abc import Mapping

from gateway.rest.problem import Problem

FINISHED = 1000
POLICY = 1008
INTERNAL = 1011
RESTARTING = 1012
TRY_LATER = 1013
TOO_MANY = 4429

CLOSE_CODES: Mapping[int, str] = {
    FINISHED: "Finished: after `end`, everything is durable; after `watch_ended`, nothing more will come.",
    POLICY: "The first message did not come in time, or a text frame was no JSON object.",
    1009: "A frame was longer than the socket takes.",
    INTERNAL: "Internal error; the problem has the trace to report.",
    RESTARTING: "The gateway or the room is stopping: connect again, now.",
    TRY_LATER: "The room cannot be reached now, or cannot take more: connect again, later.",
    4400: "A message was wrong, or came at a wrong time; the problem's `metadata` may name the field.",
    4401: "Credentials are needed, or are not good.",
    4403: "The caller may not do this.",
    4404: "No such meeting.",
    4409: "A newer connection of the same session took over: do not connect again.",
    4410: "The meeting was erased.",
    4413: "A message was too large.",
    TOO_MANY: "No room now: connect again, later.",
    4499: "The call was cancelled on the way: connect again.",
    4501: "Not in this release.",
    4504: "The room took too long: connect again.",
}
"""What each code means to a client; from 4000 on it is 4000 + the HTTP status of the same problem."""

_REASON_BYTES = 123  # of a close frame
_PLAIN = {500: INTERNAL, 503: TRY_LATER}


class SocketClosed(Exception):
    """The socket is to end with a code; `problem` is sent before, if there is one."""

    def __init__(self, code: int, reason: str, problem: Problem | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        self.problem = problem


def closed_by(problem: Problem) -> SocketClosed:
    """Return how a socket ends because of a problem."""
    return SocketClosed(_PLAIN.get(problem.status, 4000 + problem.status), problem.reason or problem.title, problem)
