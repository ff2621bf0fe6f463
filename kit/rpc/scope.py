"""The RPC that a task works for: what calls made from it inherit."""

import asyncio
from contextvars import ContextVar


class RpcScope:
    """One RPC being served. Once it has ended, tasks that outlive it inherit nothing from it any more."""

    def __init__(self, path: str, request_id: str, remaining_seconds: float | None) -> None:
        self.path = path
        self.request_id = request_id
        self._deadline = None if remaining_seconds is None else asyncio.get_running_loop().time() + remaining_seconds
        self._ended = False

    def end(self) -> None:
        """Mark the RPC as answered."""
        self._ended = True

    @property
    def ended(self) -> bool:
        """Whether the RPC was answered."""
        return self._ended

    def remaining_seconds(self) -> float | None:
        """Return the time left for this RPC, None if there is no limit (any more)."""
        if self._deadline is None or self._ended:
            return None
        return max(0.0, self._deadline - asyncio.get_running_loop().time())


_scope: ContextVar[RpcScope | None] = ContextVar("rpc_scope", default=None)


def current_scope() -> RpcScope | None:
    """Return the RPC that this task works for, None outside of any and after its end."""
    scope = _scope.get()
    return None if scope is None or scope.ended else scope


def enter_scope(scope: RpcScope) -> None:
    """Let this task work for an RPC; only the edge does this."""
    _scope.set(scope)
