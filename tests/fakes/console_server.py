"""A gateway's console stream on a real server; the test says what is in it and what goes wrong with it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from agent.console.v1 import console_service_pb2 as pb
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceServicer, add_ConsoleServiceServicer_to_server
from agent.ops.v1.ops_service_pb2 import LogLine
from kit.auth.principal import current_principal
from kit.ids import new_id
from kit.rpc.server import RpcServer, RpcService, open_server
from tests.fakes.console_desk import SERVICE_KEY, USER_KEY, VIEWER_KEY, Callers, DeskData, desk_services

__all__ = ["SERVICE_KEY", "USER_KEY", "VIEWER_KEY", "ConsoleGateway", "running_console"]

_KEYS = {
    pb.ConsoleRoom: ("rooms", "room"),
    pb.ConsoleSession: ("sessions", "meeting_id"),
    pb.ConsoleQueue: ("queues", "queue"),
    pb.ConsoleBreaker: ("breakers", "name"),
}


@dataclass(eq=False)
class Subscriber:
    """One open stream."""

    frames: "asyncio.Queue[pb.WatchConsoleResponse | None]"
    topics: frozenset[str]
    epoch: str
    sequence: int = 0

    def send(self, *, skipped: int = 0, **frame: Any) -> None:
        """Send a frame; `skipped` numbers are left out before it."""
        self.sequence += 1 + skipped
        self.frames.put_nowait(pb.WatchConsoleResponse(epoch=self.epoch, sequence=self.sequence, **frame))


class ConsoleGateway(ConsoleServiceServicer):
    """Rows that the test changes; every change goes to every open stream as a delta.

    Args:
        page_rows: rows on a page of a snapshot.
        heartbeat_seconds: between two heartbeats; None sends none.
    """

    def __init__(self, *rows: Message, page_rows: int = 200, heartbeat_seconds: float | None = 1.0) -> None:
        self.requests: list[pb.WatchConsoleRequest] = []
        """Subscriptions so far."""
        self.heartbeat_seconds = heartbeat_seconds
        self.holding_pages = asyncio.Event()
        self.holding_pages.set()
        """While clear, only the first page of a snapshot is sent."""
        self.desk = DeskData()
        """What operators are answered beside the stream."""
        self.log_lines: list[LogLine] = []
        """What every reader of the log is sent first."""
        self.log_away: list[pb.RoomAway] = []
        self.logs_asked: list[pb.TailLogsRequest] = []
        self._log_readers: set[asyncio.Queue[pb.TailLogsResponse]] = set()
        self._page_rows = page_rows
        self._rows = {_key(row): row for row in rows}
        self._subscribers: set[Subscriber] = set()
        self._epoch = new_id()

    async def WatchConsole(
        self, request: pb.WatchConsoleRequest, context: Any
    ) -> AsyncIterator[pb.WatchConsoleResponse]:
        self.requests.append(request)
        subscriber = Subscriber(asyncio.Queue(10_000), frozenset(request.topics), self._epoch)
        rows = [row for key, row in self._rows.items() if _wanted(key, subscriber)]
        pages = [rows[at : at + self._page_rows] for at in range(0, len(rows), self._page_rows)] or [[]]
        for number, page in enumerate(pages, 1):
            if number > 1:
                await self.holding_pages.wait()
            subscriber.sequence += 1
            snapshot = page_of(page, more=number < len(pages))
            yield pb.WatchConsoleResponse(epoch=self._epoch, sequence=subscriber.sequence, snapshot=snapshot)
        self._subscribers.add(subscriber)
        try:
            while (frame := await self._next(subscriber)) is not None:
                yield frame
        finally:
            self._subscribers.discard(subscriber)

    async def TailLogs(self, request: pb.TailLogsRequest, context: Any) -> AsyncIterator[pb.TailLogsResponse]:
        self.logs_asked.append(request)
        lines: asyncio.Queue[pb.TailLogsResponse] = asyncio.Queue(10_000)
        yield pb.TailLogsResponse(lines=self.log_lines, away=self.log_away)
        yield pb.TailLogsResponse()
        self._log_readers.add(lines)
        try:
            while True:
                yield await lines.get()
        finally:
            self._log_readers.discard(lines)

    def log(self, *lines: LogLine, dropped: int = 0) -> None:
        """Write lines, to every reader at once."""
        self.log_lines += lines
        for reader in self._log_readers:
            reader.put_nowait(pb.TailLogsResponse(lines=lines, dropped=dropped))

    @property
    def log_readers(self) -> int:
        """Streams of log lines open now."""
        return len(self._log_readers)

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Any) -> pb.WhoAmIResponse:
        caller = current_principal()
        return pb.WhoAmIResponse(
            subject=caller.subject,
            role="viewer" if caller.viewer else "operator",
            auth_type=caller.via,
            tenant_id=caller.tenant_id,
            scopes=sorted(caller.scopes),
        )

    async def RunAction(self, request: pb.RunActionRequest, context: Any) -> pb.RunActionResponse:
        return pb.RunActionResponse(message=self.desk.act(request))

    def put(self, *rows: Message) -> None:
        """Add rows or replace them."""
        self._rows |= {_key(row): row for row in rows}
        for subscriber in self._subscribers:
            subscriber.send(delta=page_of([row for row in rows if _wanted(_key(row), subscriber)]))

    def remove(self, *keys: str) -> None:
        """Remove rows by key, for example "sessions/m-1"."""
        for key in keys:
            del self._rows[key]
        for subscriber in self._subscribers:
            subscriber.send(delta=pb.ConsolePage(gone=keys))

    def put_behind_a_gap(self, *rows: Message) -> None:
        """Change rows, but lose the frame that says so."""
        self._rows |= {_key(row): row for row in rows}
        for subscriber in self._subscribers:
            subscriber.send(skipped=1, heartbeat=pb.ConsoleHeartbeat())

    def hang_up(self) -> None:
        """End every open stream, as a gateway that drains does."""
        for subscriber in self._subscribers:
            subscriber.frames.put_nowait(None)

    @property
    def watched(self) -> bool:
        """Whether a stream is open and has its snapshot."""
        return bool(self._subscribers)

    async def _next(self, subscriber: Subscriber) -> pb.WatchConsoleResponse | None:
        while True:
            try:
                async with asyncio.timeout(self.heartbeat_seconds):
                    return await subscriber.frames.get()
            except TimeoutError:
                subscriber.send(heartbeat=pb.ConsoleHeartbeat())


@asynccontextmanager
async def running_console(gateway: ConsoleGateway, *, port: int = 0) -> AsyncIterator[RpcServer]:
    """Serve the console on 127.0.0.1; it knows an operator, a viewer and a user, as the contract has it."""
    service = RpcService(
        pb.DESCRIPTOR.services_by_name["ConsoleService"], gateway, add_ConsoleServiceServicer_to_server
    )
    services = [service, *desk_services(gateway.desk)]
    async with open_server(f"127.0.0.1:{port}", services=services, auth=Callers(), room="gateway") as server:
        yield server


def page_of(rows: Sequence[Message], *, more: bool = False) -> pb.ConsolePage:
    """Make a page of rows of any topic."""
    page = pb.ConsolePage(more=more)
    for row in rows:
        getattr(page, _key(row).partition("/")[0]).append(row)
    return page


def _key(row: Message) -> str:
    topic, field = _KEYS[type(row)]
    return f"{topic}/{getattr(row, field)}"


def _wanted(key: str, subscriber: Subscriber) -> bool:
    return not subscriber.topics or key.partition("/")[0] in subscriber.topics
