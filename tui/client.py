"""The stream from the gateway: subscribed, checked, and taken up again whenever it is lost.

It runs on the event loop of whoever opens it: grpc.aio must never be used from a second loop or a thread.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from agent.console.v1 import console_service_pb2 as pb
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceStub
from kit.clock import monotonic
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from tui.connection import Connection
from tui.errors import ConsoleError, StreamBroken, Unreachable
from tui.link import Link
from tui.problems import problem_of
from tui.store import Store

_KEY_SECONDS = 1.0  # between two looks at the file of a key that was refused


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the console waits for what, in seconds."""

    stale_seconds: float = 4.0
    """Silence after which the data is called stale; the gateway sends something every second."""
    silence_seconds: float = 10.0
    """Silence after which the stream is given up."""
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 15.0
    """Between two attempts."""


class Watch:
    """Keeps a store up to date from one stream. `link` says how the stream is doing."""

    def __init__(
        self,
        stub: Any,
        connection: Connection,
        store: Store,
        *,
        topics: Sequence[str],
        max_hz: int,
        patience: Patience,
    ) -> None:
        self.link = Link(patience.stale_seconds)
        self.store = store
        self._stub = stub
        self._connection = connection
        self._request = pb.WatchConsoleRequest(topics=topics, max_hz=max_hz)
        self._patience = patience
        self._news = asyncio.Event()
        self._again = asyncio.Event()
        self._following: asyncio.Timeout | None = None

    async def news(self) -> None:
        """Wait until the store or the link has changed since the last call."""
        await self._news.wait()
        self._news.clear()

    def again(self) -> None:
        """Open a new stream now: give the present one up, or wait no longer for the next attempt."""
        self._again.set()
        if self._following is not None and not self._following.expired():
            self._following.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Follow the stream. A refusal stands until a new attempt is asked for, or the key in its file is another."""
        pause = self._patience.first_pause_seconds
        while True:
            shown = self._connection.present_key()
            problem = await self._until_told()
            if self.link.attempt == 0:  # the stream that broke had worked
                pause = self._patience.first_pause_seconds
            if problem.final:
                self.link.refused(problem)
                self._news.set()
                await self._another_wish(shown)
                self.link.asks_again()
                self._news.set()
                continue
            seconds = 0.0 if self._again.is_set() else self._jittered(pause)
            self.link.lost(problem, monotonic() + seconds)
            self._news.set()
            if await self._told_within(seconds):
                pause = self._patience.first_pause_seconds
            else:
                pause = min(2 * pause, self._patience.longest_pause_seconds)

    async def _until_told(self) -> ConsoleError:
        """Follow one stream until it ends or a new one is wanted."""
        try:
            async with asyncio.timeout(None) as self._following:
                return await self._problem_of_following()
        except TimeoutError:
            return StreamBroken("is asked again")
        finally:
            self._following = None

    async def _told_within(self, seconds: float) -> bool:
        """Wait, less long if a new attempt is asked for; return whether it was."""
        try:
            async with asyncio.timeout(seconds):
                await self._again.wait()
        except TimeoutError:
            return False
        self._again.clear()
        return True

    async def _another_wish(self, shown: str) -> None:
        """Wait until a new attempt makes sense after a refusal."""
        while not await self._told_within(_KEY_SECONDS):
            if self._connection.present_key() != shown:
                return

    async def _problem_of_following(self) -> ConsoleError:
        """Follow one stream to its end and say why it ended."""
        try:
            await self._follow()
        except grpc.aio.AioRpcError as failure:
            return problem_of(failure, self._connection, self.store.clean)
        except TimeoutError:
            return Unreachable(self._connection.target, why=f"is silent for {self._patience.silence_seconds:g} s")
        except StreamBroken as broken:
            return broken
        finally:
            self.store.drop_unfinished()
        return StreamBroken("the gateway closed the stream")

    async def _follow(self) -> None:
        with held(self._stub.WatchConsole(self._request)) as call:
            epoch, sequence = "", 0
            while True:
                async with asyncio.timeout(self._patience.silence_seconds):
                    frame = await call.read()
                if frame is grpc.aio.EOF:
                    return
                begins = frame.epoch != epoch
                if begins and frame.WhichOneof("frame") != "snapshot":
                    raise StreamBroken("the stream does not begin with a snapshot")
                if not begins and frame.sequence != sequence + 1:
                    raise StreamBroken(f"frames {sequence + 1} to {frame.sequence - 1} are missing")
                if begins:
                    self.store.drop_unfinished()
                epoch, sequence = frame.epoch, frame.sequence
                self._take(frame)

    def _take(self, frame: pb.WatchConsoleResponse) -> None:
        match frame.WhichOneof("frame"):
            case "snapshot":
                self.store.take_snapshot(frame.snapshot)
            case "delta" if not self.store.in_snapshot:
                self.store.take_delta(frame.delta)
            case "delta":
                raise StreamBroken("a change came amid a snapshot")
            # A heartbeat, or a kind of frame that only newer consoles know, says that the stream lives.
        if not self.store.in_snapshot:  # half a snapshot is not yet a working stream
            self.link.heard(monotonic())
            self._news.set()

    def _jittered(self, pause: float) -> float:
        """Spread the consoles of a team, so that a gateway that comes back is not met by all at once."""
        spread = pause * random.uniform(0.7, 1.3)  # noqa: S311 - guards nothing
        return min(max(spread, self._patience.first_pause_seconds), self._patience.longest_pause_seconds)


@asynccontextmanager
async def open_watch(
    connection: Connection,
    store: Store,
    *,
    topics: Sequence[str] = (),
    max_hz: int = 2,
    patience: Patience | None = None,
) -> AsyncIterator[Watch]:
    """Keep `store` up to date for the block. Whatever happens to the gateway, the block goes on: see `watch.link`.

    Args:
        connection: which gateway.
        store: takes the rows.
        topics: of `tui.store.TOPICS`; all of them if empty.
        max_hz: frames per second at most, 1 to 10.
        patience: how long to wait for what.
    """
    async with (
        open_channel(
            connection.target, api_key=connection.credential, tenant_id=connection.tenant or None, tls=connection.tls
        ) as channel,
        asyncio.TaskGroup() as tasks,
    ):
        watch = Watch(
            ConsoleServiceStub(channel),
            connection,
            store,
            topics=topics,
            max_hz=max_hz,
            patience=patience or Patience(),
        )
        following = tasks.create_task(watch.run(), name="console.watch")
        try:
            yield watch
        finally:
            following.cancel()
