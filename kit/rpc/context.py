"""The context that handlers get: gRPC's own, which also counts stream messages and keeps our trailing metadata."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, NoReturn

import grpc

from kit.rpc.counters import RpcCounters

# A client that is writing when a status arrives sees "Internal error from Core" in its place (grpc#36066; a quarter of
# the streams that were refused at once). Most clients write a little and then wait for an answer: let them.
_LINGER_SECONDS = 0.05

Metadata = tuple[tuple[str, str | bytes], ...]


class RpcContext:
    """Delegates to a `grpc.aio.ServicerContext`."""

    def __init__(
        self,
        inner: "grpc.aio.ServicerContext[Any, Any]",
        counters: RpcCounters,
        trailing: Metadata,
        *,
        client_writes: bool,
    ) -> None:
        self._inner = inner
        self._client_writes = client_writes
        self._counters = counters
        self._ours = trailing
        inner.set_trailing_metadata(trailing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def read(self) -> Any:
        """Return the next request, `grpc.aio.EOF` at the end."""
        message = await self._inner.read()
        if message is not grpc.aio.EOF:
            self._counters.received.inc()
        return message

    async def write(self, message: Any) -> None:
        """Send a response; waits while the peer does not keep up."""
        await self._inner.write(message)
        self._counters.sent.inc()

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """Set the handler's trailing metadata; ours stays."""
        self._inner.set_trailing_metadata((*self._ours, *trailing_metadata))

    def trailing_metadata(self) -> Any:
        """Return the trailing metadata set so far."""
        return self._inner.trailing_metadata()

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """End the RPC with a status; ours stays in the trailing metadata."""
        if self._client_writes:
            await asyncio.sleep(_LINGER_SECONDS)
        ours = tuple(pair for pair in self._ours if pair not in trailing_metadata)
        await self._inner.abort(code, details, (*ours, *trailing_metadata))


class Requests:
    """The requests of a stream, counted."""

    def __init__(self, inner: AsyncIterable[Any], counters: RpcCounters) -> None:
        self._inner = inner
        self._iterator: AsyncIterator[Any] | None = None  # made on demand: handlers may use context.read() instead
        self._counters = counters

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._iterator is None:
            self._iterator = aiter(self._inner)
        message = await anext(self._iterator)
        self._counters.received.inc()
        return message
