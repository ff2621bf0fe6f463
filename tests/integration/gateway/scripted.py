"""A mesh on real gRPC servers whose rooms say what a test scripts, and the real gateway in front of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx2
from google.api.httpbody_pb2 import HttpBody
from pydantic import SecretStr

from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import audio_service_pb2_grpc, meeting_service_pb2_grpc, recorder_service_pb2_grpc
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1 import recorder_service_pb2 as recorder
from agent.ops.v1 import ops_service_pb2 as ops
from agent.report.v1 import report_service_pb2 as reports
from agent.report.v1 import report_service_pb2_grpc
from gateway.app import Gateway, open_gateway
from gateway.settings import GatewaySettings
from kit.audit.auditing import Auditing
from kit.auth.authenticator import ApiKeys, Authenticator
from kit.auth.keys import KeyRing
from kit.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from kit.lifecycle import Shutdown
from kit.ops.sources import OpsSources
from kit.room import open_room
from kit.rpc.server import RpcService
from kit.settings import RpcSettings, TargetSettings
from store.audit.room import RoomAudit
from tests.integration.gateway import interview
from tests.integration.gateway.quick import QuickRecordings

USER_KEY = "user-key-of-the-tests"
SERVICE_KEY = "service-key-of-the-tests"
USER = {"x-api-key": USER_KEY}
SERVICE = {"x-api-key": SERVICE_KEY}
UNKNOWN_ID = "0199a7c2-0000-7000-8000-000000000000"
AUDIO_PIECES = 40


def audio_piece(number: int) -> bytes:
    """Return a piece of every recording."""
    return bytes([number]) * 100_000


class MeetingNotFound(NotFound):
    """No meeting with this id is visible to the caller."""

    reason = "ERROR_REASON_MEETING_NOT_FOUND"


class MeetingErased(NotFound):
    """The meeting was erased; only a tombstone is left."""

    reason = "ERROR_REASON_MEETING_ERASED"


class MeetingFinished(FailedPrecondition):
    """The meeting has ended and takes no more audio."""

    reason = "ERROR_REASON_MEETING_FINISHED"


class ReportNotReady(Unavailable):
    """The report is not built yet."""

    reason = "ERROR_REASON_REPORT_NOT_READY"
    retry_after_seconds = 2.4


@dataclass
class Seen:
    """What the rooms were called with."""

    metadata: dict[str, str] = field(default_factory=dict)
    remaining_seconds: float | None = None
    requests: list[Any] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, request: Any, context: Any) -> None:
        """Remember a call."""
        self.metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self.remaining_seconds = context.time_remaining()
        self.requests.append(request)


class Meetings(meeting_service_pb2_grpc.MeetingServiceServicer):
    """Meetings by id; `publish` sends an event to every watcher."""

    def __init__(self, seen: Seen, draining: asyncio.Event) -> None:
        self.seen = seen
        self.known: dict[str, meetings.Meeting] = {interview.MEETING_ID: interview.meeting()}
        self.stall = False
        self.erased: set[str] = set()
        self.sound: HttpBody | None = None
        """The recording of every meeting; pieces that nobody can play if None."""
        self.audio_breaks_at = -1
        """Piece of a recording that never comes; none if negative."""
        self.audio_may_go_on = asyncio.Event()
        self.audio_may_go_on.set()
        self._draining = draining
        self._watchers: set[asyncio.Queue[meetings.WatchMeetingResponse]] = set()

    @property
    def watchers(self) -> int:
        """Streams open now."""
        return len(self._watchers)

    def publish(self, event: meetings.WatchMeetingResponse) -> None:
        """Send an event to every watcher."""
        for watcher in self._watchers:
            watcher.put_nowait(event)

    async def StartMeeting(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        if not request.title:
            raise InvalidArgument("is empty", field="title")
        made = interview.meeting("scheduled", f"{len(self.known):08d}-new", request.title)
        self.known[made.meeting_id] = made
        return meetings.StartMeetingResponse(meeting_id=made.meeting_id, meeting=made, connector_auto_join=True)

    async def GetMeeting(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        if self.stall:
            try:
                await asyncio.sleep(60)
            finally:
                self.seen.cancelled.set()
        return meetings.GetMeetingResponse(meeting=self._find(request.meeting_id))

    async def ListMeetings(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        known = [one for one in reversed(self.known.values()) if request.state in ("", one.state)]
        first, size = int(request.page_token or 0), request.page_size or 20
        token = str(first + size) if first + size < len(known) else ""
        return meetings.ListMeetingsResponse(meetings=known[first : first + size], next_page_token=token)

    async def FinishMeeting(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        finished = interview.meeting("finished", request.meeting_id, self._find(request.meeting_id).title)
        self.known[request.meeting_id] = finished
        self.publish(meetings.WatchMeetingResponse(meeting=finished))
        return meetings.FinishMeetingResponse(meeting=finished)

    async def GetCoverage(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        self._find(request.meeting_id)
        return meetings.GetCoverageResponse(
            meeting_id=request.meeting_id, duration_ms=interview.DURATION_MS, participants=interview.coverage()
        )

    async def DeleteMeeting(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        self._find(request.meeting_id)
        del self.known[request.meeting_id]
        self.erased.add(request.meeting_id)
        return meetings.DeleteMeetingResponse(
            tombstone=meetings.Tombstone(meeting_id=request.meeting_id, erased_by="user", reason=request.reason)
        )

    async def GetAudio(self, request: Any, context: Any) -> AsyncIterator[meetings.GetAudioResponse]:
        self.seen.note(request, context)
        self._find(request.meeting_id)
        if self.sound is not None:
            yield meetings.GetAudioResponse(body=self.sound)
            return
        try:
            content_type = f"audio/{'flac' if request.format == 'flac' else 'ogg; codecs=opus'}"
            for number in range(AUDIO_PIECES):
                if number == self.audio_breaks_at:
                    raise ReportNotReady
                await self.audio_may_go_on.wait()
                yield meetings.GetAudioResponse(
                    body=HttpBody(content_type="" if number else content_type, data=audio_piece(number))
                )
        finally:
            self.seen.cancelled.set()

    async def WatchMeeting(self, request: Any, context: Any) -> AsyncIterator[meetings.WatchMeetingResponse]:
        self.seen.note(request, context)
        meeting = self._find(request.meeting_id)
        events: asyncio.Queue[meetings.WatchMeetingResponse] = asyncio.Queue(1000)
        self._watchers.add(events)
        try:
            yield meetings.WatchMeetingResponse(meeting=meeting, cursor=request.after)
            if meeting.state == "finished":
                for segment in interview.segments()[request.after :]:
                    yield meetings.WatchMeetingResponse(segment=segment, cursor=segment.ordinal)
            while True:
                yield await events.get()
        finally:
            self._watchers.discard(events)
            self.seen.cancelled.set()

    def _find(self, meeting_id: str) -> meetings.Meeting:
        if meeting_id in self.erased:
            raise MeetingErased(meeting_id=meeting_id)
        if meeting_id not in self.known:
            raise MeetingNotFound(meeting_id=meeting_id)
        return self.known[meeting_id]


class Audio(audio_service_pb2_grpc.AudioServiceServicer, audio_service_pb2_grpc.InternalAudioServiceServicer):
    """Takes audio; acknowledges each message at once."""

    def __init__(self, seen: Seen, draining: asyncio.Event) -> None:
        self.seen = seen
        self.messages: list[audio.StreamAudioRequest] = []
        self.lost = asyncio.Event()
        self._draining = draining

    async def PutChunk(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        return audio.PutChunkResponse(sequence=request.sequence or 1, end_ms=len(request.content) // 32)

    async def PutInternalChunk(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        return audio.PutInternalChunkResponse(chunk=audio.PutChunkResponse(sequence=request.chunk.sequence))

    async def StreamAudio(self, request_iterator: Any, context: Any) -> AsyncIterator[audio.StreamAudioResponse]:
        finished = False
        async for request in request_iterator:
            self.messages.append(request)
            match request.WhichOneof("message"):
                case "open":
                    self.seen.note(request, context)
                    if request.open.meeting_id == UNKNOWN_ID:
                        raise MeetingNotFound(meeting_id=UNKNOWN_ID)
                    if request.open.epoch > 1:
                        raise MeetingFinished(meeting_id=request.open.meeting_id)
                    yield audio.StreamAudioResponse(opened=audio.SessionOpened(next_sequence=1, window=64))
                case kind:
                    finished = kind == "end"
                    yield audio.StreamAudioResponse(durable=audio.AudioDurable(sequence=request.sequence))
            if finished:
                return
        self.lost.set()


class Reports(report_service_pb2_grpc.ReportServiceServicer):
    """The interview's report."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.ready = True
        self.deliveries = [
            reports.Delivery(delivery_id="d-3", channel="email", state="sent"),
            reports.Delivery(delivery_id="d-2", channel="webhook", state="failed", last_error="HTTP 503"),
            reports.Delivery(delivery_id="d-1", channel="telegram", state="failed", last_error="chat not found"),
        ]
        for minute, delivery in enumerate(self.deliveries):
            delivery.update_time.FromSeconds(1_763_700_000 - 60 * minute)

    async def GetReport(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        if not self.ready:
            raise ReportNotReady(meeting_id=request.meeting_id)
        return reports.GetReportResponse(report=interview.report())

    async def GetReportText(self, request: Any, context: Any) -> Any:
        return reports.GetReportTextResponse(
            body=HttpBody(content_type="text/plain; charset=utf-8", data="Отчёт\n".encode())
        )

    async def ListArtifacts(self, request: Any, context: Any) -> Any:
        kinds = [
            ("raw", "txt"),
            ("raw", "srt"),
            ("clean", "txt"),
            ("clean", "json"),
            ("report", "md"),
            ("report", "json"),
        ]
        return reports.ListArtifactsResponse(
            artifacts=[
                reports.Artifact(kind=kind, fmt=fmt, content_type="text/plain", size_bytes=18_204, revision=1)
                for kind, fmt in kinds
            ]
        )

    async def GetArtifact(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        return reports.GetArtifactResponse(body=HttpBody(content_type="text/markdown", data=b"# Report\n"))

    async def FollowTranscript(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        raise MeetingNotFound
        yield

    async def ListDeliveries(self, request: Any, context: Any) -> Any:
        return reports.ListDeliveriesResponse(deliveries=self.deliveries)

    async def Redeliver(self, request: Any, context: Any) -> Any:
        self.seen.note(request, context)
        delivery = next(one for one in self.deliveries if one.delivery_id == request.delivery_id)
        delivery.state, delivery.last_error = "sent", ""
        return reports.RedeliverResponse(delivery=delivery)

    RebuildReport = RebuildArtifacts = GetReport


@dataclass
class Mesh:
    """Rooms, the gateway in front of them, and a client of it."""

    gateway: Gateway
    http: httpx2.AsyncClient
    seen: Seen
    meetings: Meetings
    audio: Audio
    reports: Reports
    sessions: list[ops.SessionStatus]
    shutdown: Shutdown
    stops: Mapping[str, Shutdown]
    rooms: Mapping[str, str]
    """gRPC address of each room."""
    quick: QuickRecordings

    @property
    def url(self) -> str:
        """Address of HTTP."""
        return self.gateway.http.url

    def ws(self, path: str) -> str:
        """Address of a WebSocket."""
        return self.url.replace("http", "ws", 1) + path

    async def stop_room(self, room: str) -> None:
        """End a room for good."""
        self.stops[room].requested.set()


def api_keys() -> Authenticator:
    """Accept USER_KEY and SERVICE_KEY."""
    return ApiKeys(KeyRing([SecretStr(USER_KEY)], [SecretStr(SERVICE_KEY)]))


@asynccontextmanager
async def running_mesh(
    auth: Authenticator | None = None,
    *,
    sources: Mapping[str, OpsSources] | None = None,
    auditing: Auditing | None = None,
    trails: Mapping[str, RoomAudit] | None = None,
    elsewhere: Mapping[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[Mesh]:
    """Serve for the block; the other keyword arguments are settings of the gateway.

    Args:
        auth: says who calls; keys if None.
        sources: what rooms tell operators, over what they tell here by themselves.
        auditing: how the gateway keeps decisions.
        trails: the rooms that keep decisions.
        elsewhere: addresses of rooms that answer in the place of the scripted ones.
    """
    auth = auth or api_keys()
    quick = RpcSettings(grpc_grace_seconds=1.0)
    seen, sessions = Seen(), list[ops.SessionStatus]()
    stops = {room: Shutdown() for room in ("ingest", "stt", "connector", "report")}

    async def told() -> list[ops.SessionStatus]:
        return sessions

    async with AsyncExitStack() as stack:
        held = Meetings(seen, stops["ingest"].draining)
        taken = Audio(seen, stops["ingest"].draining)
        built = Reports(seen)
        quick_recordings = QuickRecordings()
        services = {
            "ingest": [
                _service(meetings, "MeetingService", held, meeting_service_pb2_grpc),
                _service(audio, "AudioService", taken, audio_service_pb2_grpc),
                _service(audio, "InternalAudioService", taken, audio_service_pb2_grpc),
                _service(recorder, "RecorderService", quick_recordings, recorder_service_pb2_grpc),
            ],
            "report": [_service(reports, "ReportService", built, report_service_pb2_grpc)],
        }
        addresses: dict[str, Any] = {}
        for room, stop in stops.items():
            audit = (trails or {}).get(room, RoomAudit())
            usual = OpsSources(sessions=told, audit=audit.log) if room == "connector" else OpsSources(audit=audit.log)
            opened = await stack.enter_async_context(
                open_room(
                    room,
                    listen="127.0.0.1:0",
                    metrics_listen=None,
                    services=services.get(room, []),
                    auth=auth,
                    shutdown=stop,
                    sources=(sources or {}).get(room, usual),
                    audit=audit.sink,
                    origins=audit.origins,
                    rpc=quick,
                    max_receive_bytes=16 * 1024 * 1024,
                )
            )
            addresses[room] = (elsewhere or {}).get(room, opened.server.address)
        shutdown = Shutdown()
        defaults = {"listen": "127.0.0.1:0", "grpc_listen": "127.0.0.1:0"}
        gateway = await stack.enter_async_context(
            open_gateway(
                GatewaySettings(**{**defaults, **settings}),
                TargetSettings(**{f"{room}_target": address for room, address in addresses.items()}),
                auth,
                shutdown,
                service_key=SERVICE_KEY,
                auditing=auditing,
                rpc=quick,
            )
        )
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=gateway.http.url, headers=USER, timeout=10))
        yield Mesh(gateway, http, seen, held, taken, built, sessions, shutdown, stops, addresses, quick_recordings)


def _service(module: Any, name: str, servicer: object, generated: Any) -> RpcService:
    return RpcService(
        module.DESCRIPTOR.services_by_name[name], servicer, getattr(generated, f"add_{name}Servicer_to_server")
    )


def channel_to(mesh: Mesh) -> grpc.aio.Channel:
    """A bare channel to the gateway's gRPC port."""
    return grpc.aio.insecure_channel(mesh.gateway.room.server.address)
