"""Actions that were carried out already: a repeated request gets the first one's answer and changes nothing.

What is kept here spares an operator's second press of a key; that a request survives a restart of the gateway is the
rooms' doing, which check the state that the operator saw.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

from gateway.console.errors import RequestIdReused

_KEPT = 1000


@dataclass(slots=True)
class _Entry:
    request: Hashable
    message: str | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Answered:
    """The answers to the newest requests, by who asked and the request's id."""

    def __init__(self, *, kept: int = _KEPT) -> None:
        self._kept = kept
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    async def once(self, key: Hashable, request: Hashable, act: Callable[[], Awaitable[str]]) -> str:
        """Act, or return what the same request was answered before. Equal requests wait for each other.

        Args:
            key: who asked, with the request's id.
            request: everything that the request says.
            act: carries it out; a failure is not kept, so that the request can be repeated.

        Raises:
            RequestIdReused: the key came before with another request.
        """
        entry = self._entries.setdefault(key, _Entry(request))
        if entry.request != request:
            raise RequestIdReused
        self._entries.move_to_end(key)
        while len(self._entries) > self._kept:
            self._entries.popitem(last=False)
        async with entry.turn:
            if entry.message is None:
                try:
                    entry.message = await act()
                finally:
                    if entry.message is None and self._entries.get(key) is entry:
                        del self._entries[key]
            return entry.message
