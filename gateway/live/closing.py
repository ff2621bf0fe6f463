"""How a socket ends: WebSocket close codes from the status of the call behind it.

1000   finished: after `end`, everything is durable
1008   the first message did not come in time or was no JSON object
1011   internal error
1012   the gateway or the room is stopping: connect again
1013   the room cannot be reached now: try again later
4xxx   4000 + the HTTP status of the same problem: 4400 wrong message, 4401 credentials needed, 4403 not allowed,
       4404 no such meeting, 4409 fenced by a newer connection, 4413 too large, 4429 no room now, 4501 not in this
       release, 4504 took too long
"""

from gateway.rest.problem import Problem

FINISHED = 1000
POLICY = 1008
INTERNAL = 1011
RESTARTING = 1012
TRY_LATER = 1013

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
