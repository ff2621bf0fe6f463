"""ConsoleService: a paged snapshot, then deltas, never more often than the client wants, a heartbeat; and actions."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from itertools import islice
from time import monotonic
from typing import Any

import grpc
from google.protobuf.message import Message

from agent.console.v1 import console_service_pb2 as pb
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceServicer
from gateway.console.actions import Actions
from gateway.console.answered import Answered
from gateway.console.board import TOPICS, Board, page_of
from gateway.console.logs import MeshLogs
from kit.audit.decision import AuditSink, Decision, Outcome
from kit.auth.principal import current_principal
from kit.clock import now
from kit.errors import AppError, InvalidArgument
from kit.ids import new_id
from kit.rpc.status import error_of
from kit.telemetry import logs

_DEFAULT_HZ = 2
_MAX_HZ = 10
_HEARTBEAT_SECONDS = 1.0
_PAGE_ROWS = 200
_MAX_REASON_CHARACTERS = 500
_MAX_REQUEST_ID_CHARACTERS = 128
_RUN_ACTION = "/agent.console.v1.ConsoleService/RunAction"

log = logs.get()


class ConsoleServicer(ConsoleServiceServicer):
    """Answers from the board and acts on the rooms. The epoch is this run of the gateway."""

    def __init__(
        self, board: Board, actions: Actions, trail: AuditSink, logs: MeshLogs, draining: asyncio.Event
    ) -> None:
        self._board = board
        self._actions = actions
        self._answered = Answered()
        self._trail = trail
        self._logs = logs
        self._draining = draining
        self._epoch = new_id()

    async def WatchConsole(
        self, request: pb.WatchConsoleRequest, context: Any
    ) -> AsyncIterator[pb.WatchConsoleResponse]:
        feed = _Feed(self._board, _topics(request), _period_seconds(request))
        sequence = 0
        async for frame in feed.frames(self._draining):
            sequence += 1
            frame.epoch, frame.sequence = self._epoch, sequence
            yield frame

    async def TailLogs(self, request: pb.TailLogsRequest, context: Any) -> AsyncIterator[pb.TailLogsResponse]:
        async with aclosing(self._logs.follow(request, context)) as responses:
            async for response in responses:
                yield response

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
        if not 0 < len(request.request_id) <= _MAX_REQUEST_ID_CHARACTERS:
            raise InvalidArgument(f"has 1 to {_MAX_REQUEST_ID_CHARACTERS} characters", field="request_id")
        if len(request.reason) > _MAX_REASON_CHARACTERS:
            raise InvalidArgument(f"must have at most {_MAX_REASON_CHARACTERS} characters", field="reason")
        caller = current_principal()
        message = await self._answered.once(
            (caller.subject, caller.tenant_id, request.request_id),
            request.SerializeToString(deterministic=True),
            lambda: self._act(request, context),
        )
        return pb.RunActionResponse(message=message)

    async def _act(self, request: pb.RunActionRequest, context: Any) -> str:
        """Act and leave a row in the trail: what was done to what and why, beside the gate's, which knows the RPC."""
        told = {"action": request.action, "target": request.target, "reason": request.reason}
        try:
            message = await self._actions.run(request, context)
        except (AppError, grpc.aio.AioRpcError) as error:
            reason = error.reason if isinstance(error, AppError) else error_of(error).reason or error.code().name
            log.warning("console_action_refused", **told, refusal=reason)
            self._record("deny", request, f"{reason} ({request.reason})" if request.reason else reason)
            raise
        log.info("console_action", **told)
        self._record("allow", request, request.reason)
        return message

    def _record(self, outcome: Outcome, request: pb.RunActionRequest, reason: str) -> None:
        caller = current_principal()
        self._trail.record(
            Decision(
                outcome,
                endpoint=f"{request.action} {request.target}".rstrip(),
                method="CONSOLE",
                subject=caller.subject,
                auth_type=caller.via,
                reason=reason,
                tenant_id=caller.tenant_id,
                time=now(),
                weight="admin",
                rpc=_RUN_ACTION,
            )
        )


class _Feed:
    """What one client gets."""

    def __init__(self, board: Board, topics: frozenset[str], period_seconds: float) -> None:
        self._board = board
        self._topics = topics
        self._period_seconds = period_seconds

    async def frames(self, draining: asyncio.Event) -> AsyncIterator[pb.WatchConsoleResponse]:
        """Give frames until the server drains; the epoch and the sequence are the caller's to set."""
        version, sent_at = -1, monotonic()
        while not draining.is_set():
            started = monotonic()
            changes = self._board.changes_since(version, self._topics) if version >= 0 else None
            if changes is None:
                everything = self._board.everything(self._topics)
                version, sent_at = everything.version, started
                for page in _pages(everything.rows):
                    yield pb.WatchConsoleResponse(snapshot=page)
            elif changes.rows or changes.gone:
                version, sent_at = changes.version, started
                yield pb.WatchConsoleResponse(delta=page_of(changes.rows.items(), changes.gone))
            else:
                version = changes.version
                if started - sent_at >= _HEARTBEAT_SECONDS:
                    sent_at = started
                    yield pb.WatchConsoleResponse(heartbeat=pb.ConsoleHeartbeat())
            await _pause(draining, self._period_seconds - (monotonic() - started))
            await self._news(version, draining, within_seconds=sent_at + _HEARTBEAT_SECONDS - monotonic())

    async def _news(self, version: int, draining: asyncio.Event, *, within_seconds: float) -> None:
        """Wait until there is something to tell, at most until the next heartbeat is due."""
        changed = asyncio.create_task(self._board.changed(version), name="console.changed")
        drained = asyncio.create_task(draining.wait(), name="console.drained")
        try:
            await asyncio.wait(
                {changed, drained}, timeout=max(0.0, within_seconds), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            changed.cancel()
            drained.cancel()


def _pages(rows: Mapping[str, Message]) -> Iterator[pb.ConsolePage]:
    remaining, left = iter(rows.items()), len(rows)
    while True:
        page = list(islice(remaining, _PAGE_ROWS))
        left -= len(page)
        yield page_of(page, more=left > 0)
        if left <= 0:
            return


async def _pause(draining: asyncio.Event, seconds: float) -> None:
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await draining.wait()
    except TimeoutError:
        return


def _topics(request: pb.WatchConsoleRequest) -> frozenset[str]:
    if unknown := set(request.topics) - set(TOPICS):
        raise InvalidArgument(f"is one of {', '.join(TOPICS)}, not {min(unknown)[:32]!r}", field="topics")
    return frozenset(request.topics or TOPICS)


def _period_seconds(request: pb.WatchConsoleRequest) -> float:
    if not 0 <= request.max_hz <= _MAX_HZ:
        raise InvalidArgument(f"is at most {_MAX_HZ}", field="max_hz")
    return 1 / (request.max_hz or _DEFAULT_HZ)
