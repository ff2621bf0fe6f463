"""Following: a meeting's segments to the report room as they settle, its insights back. Never a meeting's problem.

The report room may be away, slow or gone: the stream is opened again from the last segment it knows, and what it would
have said while people spoke is simply missing.
"""

import asyncio
from typing import Any, Protocol

import grpc

from agent.ingest.v1 import meeting_service_pb2 as pb
from agent.report.v1 import report_service_pb2 as report
from kit.auth.authenticator import TENANT_ID
from kit.rpc.calls import held
from kit.telemetry import logs
from services.ingest.intake.session import MeetingKey
from services.ingest.retry import Backoff
from services.ingest.rows import MeetingRow
from services.ingest.watching.hub import Hub, Subscription
from services.ingest.watching.insights import Insights
from services.ingest.watching.tail import Segments, Tail

_LONGEST_PAUSE_SECONDS = 15.0
_OPEN_SECONDS = 10.0
_GOODBYE_SECONDS = 5.0

log = logs.get()


class ReportFollower(Protocol):
    """The report room: the stub of `agent.report.v1.ReportService`."""

    def FollowTranscript(self, *, metadata: Any) -> Any:
        """Open a stream."""


class Follower:
    """One meeting's stream to the report room."""

    def __init__(self, stub: ReportFollower, store: Segments, hub: Hub, key: MeetingKey) -> None:
        self._stub = stub
        self._store = store
        self._hub = hub
        self._key = key
        self._ended = asyncio.Event()
        self._insights = Insights()

    @property
    def insights(self) -> list[pb.LiveInsight]:
        """What was said so far, for a watcher that comes late: the newest talk statistics, questions and actions."""
        return list(self._insights)

    def end(self) -> None:
        """Say that no segment will follow."""
        self._ended.set()

    async def run(self, meeting: MeetingRow) -> None:
        """Follow until the end was told."""
        backoff = Backoff(first=0.5, longest=_LONGEST_PAUSE_SECONDS)
        while True:
            try:
                with self._hub.subscribe(self._key, levels=False) as subscription:
                    await self._converse(meeting, subscription, backoff)
                return
            except Exception as lost:  # an edge: whatever goes wrong here is not the meeting's problem
                log.info("follow_lost", why=_why(_leaf(lost)))
            if self._ended.is_set():
                return  # the report is built from the store; nobody waits for insights now
            await backoff.pause()

    async def _converse(self, meeting: MeetingRow, subscription: Subscription, backoff: Backoff) -> None:
        with held(self._stub.FollowTranscript(metadata=((TENANT_ID, self._key.tenant_id),))) as call:
            opening = report.FollowOpen(meeting_id=self._key.meeting_id, title=meeting.title, language=meeting.language)
            async with asyncio.timeout(_OPEN_SECONDS):
                await call.write(report.FollowTranscriptRequest(open=opening))
                response = await call.read()
            if response is grpc.aio.EOF or not response.HasField("opened"):
                raise EOFError
            backoff.reset()
            tail = Tail(self._store, self._key, response.opened.last_ordinal)
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(call), name="ingest.follow.read")
                sending = tasks.create_task(self._send(call, subscription, tail), name="ingest.follow.send")
                ending = tasks.create_task(self._ended.wait(), name="ingest.follow.end")
                await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
                ending.cancel()
                sending.cancel()
                await asyncio.wait((sending,))
                if not reading.done():
                    await self._say_goodbye(call, tail, reading)
                reading.cancel()

    async def _send(self, call: Any, subscription: Subscription, tail: Tail) -> None:
        async for segment in tail.stored():
            await call.write(report.FollowTranscriptRequest(segment=segment))
        while True:
            event = await subscription.next()
            if event.HasField("segment"):
                async for segment in tail.live(event.segment):
                    await call.write(report.FollowTranscriptRequest(segment=segment))

    async def _say_goodbye(self, call: Any, tail: Tail, reading: "asyncio.Task[None]") -> None:
        async with asyncio.timeout(_GOODBYE_SECONDS):
            async for segment in tail.stored():
                await call.write(report.FollowTranscriptRequest(segment=segment))
            await call.write(report.FollowTranscriptRequest(end=report.FollowEnd()))
            await asyncio.wait((reading,))

    async def _read(self, call: Any) -> None:
        while (response := await call.read()) is not grpc.aio.EOF:
            match response.WhichOneof("message"):
                case "insight":
                    self._tell(response.insight)
                case "drain":
                    raise EOFError
        if not self._ended.is_set():
            raise EOFError

    def _tell(self, insight: report.Insight) -> None:
        kind = insight.WhichOneof("insight")
        if kind is None:
            return
        live = pb.LiveInsight()
        getattr(live, kind).CopyFrom(getattr(insight, kind))
        self._insights.add(live)
        self._hub.publish(self._key, pb.WatchMeetingResponse(insight=live))


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _why(error: BaseException) -> str:
    return error.code().name if isinstance(error, grpc.aio.AioRpcError) else repr(error)
