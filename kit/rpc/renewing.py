"""A channel that outlives its certificate: when the files were renewed, new calls go over a new connection."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc

from kit.rpc.certificates import CertificateFiles, Material

Dial = Callable[[Material], grpc.aio.Channel]


class _Generation:
    """One channel, made with what stood in the files once, and how many of its calls are open."""

    def __init__(self, channel: grpc.aio.Channel, material: Material) -> None:
        self.channel = channel
        self.material = material
        self.open_calls = 0


class RenewingChannel(grpc.aio.Channel):
    """Makes each call over the present certificate; gRPC's own channels keep for ever the one they began with.

    Calls that were open at a renewal end where they began, and the last of them closes that connection.
    """

    def __init__(self, files: CertificateFiles, dial: Dial) -> None:
        self._files = files
        self._dial = dial
        self._generation = self._new(files.current())
        self._retired: set[_Generation] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling("unary_unary", method, *args, **kwargs)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling("unary_stream", method, *args, **kwargs)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling("stream_unary", method, *args, **kwargs)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling("stream_stream", method, *args, **kwargs)

    async def close(self, grace: float | None = None) -> None:
        for generation in (*self._retired, self._generation):
            await generation.channel.close(grace)
        self._retired.clear()
        await asyncio.gather(*self._closing)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._present().channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._generation.channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._present().channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()

    def _new(self, material: Material) -> _Generation:
        return _Generation(self._dial(material), material)

    def _present(self) -> _Generation:
        """Return the generation of the present certificate; the one before is closed when its calls have ended."""
        material = self._files.current()
        if material is not self._generation.material:
            former, self._generation = self._generation, self._new(material)
            self._retired.add(former)
            self._close_if_unused(former)
        return self._generation

    def _calling(self, kind: str, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        made_for: _Generation | None = None
        make: Callable[..., Any] = lambda: None  # noqa: E731 - replaced before the first call

        def call(*call_args: Any, **call_kwargs: Any) -> Any:
            nonlocal made_for, make
            generation = self._present()
            if generation is not made_for:
                make, made_for = getattr(generation.channel, kind)(method, *args, **kwargs), generation
            made = make(*call_args, **call_kwargs)
            generation.open_calls += 1
            made.add_done_callback(lambda _: self._ended(generation))
            return made

        return call

    def _ended(self, generation: _Generation) -> None:
        generation.open_calls -= 1
        self._close_if_unused(generation)

    def _close_if_unused(self, generation: _Generation) -> None:
        if generation.open_calls or generation not in self._retired:
            return
        self._retired.discard(generation)
        task = asyncio.get_running_loop().create_task(generation.channel.close(), name="rpc.close_renewed")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
