"""A mesh with something of everything, for tests of the views."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from agent.common.v1 import transcript_pb2
from agent.connector.v1 import connector_service_pb2 as connector
from agent.console.v1 import admin_service_pb2 as admin
from agent.console.v1 import console_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.report.v1 import report_service_pb2 as reports
from tests.fakes.console_server import ConsoleGateway

MEETING = "0199a7c2-0000-7000-8000-0000board01"


def at(minute: int, second: int = 0) -> Timestamp:
    """Return a moment of the test's day."""
    moment = Timestamp()
    moment.FromDatetime(datetime(2026, 11, 21, 10, minute, second, tzinfo=UTC))
    return moment


def segment(ordinal: int, speaker: str, text: str, *, start_ms: int | None = None) -> meetings.WatchMeetingResponse:
    """Return what somebody said."""
    said = transcript_pb2.Segment(
        ordinal=ordinal,
        participant_id=speaker,
        speaker=speaker,
        text=text,
        start_ms=ordinal * 4000 if start_ms is None else start_ms,
    )
    return meetings.WatchMeetingResponse(cursor=ordinal, segment=said)


def interim(speaker: str, stable: str, unstable: str) -> meetings.WatchMeetingResponse:
    """Return what somebody is saying."""
    text = meetings.InterimText(
        participant_id=speaker, speaker=speaker, stable_text=stable, unstable_text=unstable, start_ms=164_000
    )
    return meetings.WatchMeetingResponse(interim=text)


def coverage(participant_id: str, **totals: int) -> meetings.WatchMeetingResponse:
    """Return what became of somebody's audio, in milliseconds."""
    one = transcript_pb2.ParticipantCoverage(
        participant_id=participant_id,
        display_name=participant_id,
        coverage_ms=transcript_pb2.CoverageTotals(**totals),
    )
    return meetings.WatchMeetingResponse(coverage=meetings.CoverageUpdate(participants=[one]))


def levels(**loud: int) -> meetings.WatchMeetingResponse:
    """Return how loud participants are, 0 to 255."""
    told = [meetings.ParticipantLevel(participant_id=name, level=level) for name, level in loud.items()]
    return meetings.WatchMeetingResponse(levels=meetings.Levels(participants=told))


def a_busy_mesh() -> ConsoleGateway:
    """Return a gateway with rows for every view."""
    gateway = ConsoleGateway(
        pb.ConsoleSession(
            meeting_id=MEETING, title="Board prep", state="DEGRADED", provider="sberjazz", tracks=3, level=140,
            lag_ms=2100, words=3023, age_seconds=1490, note="packet loss 6 %",
        ),
        pb.ConsoleSession(
            meeting_id="0199a7c2-0000-7000-8000-0000weekly1", title="Weekly platform sync", state="LIVE",
            provider="room", tracks=6, level=90, lag_ms=900, words=812, age_seconds=402,
        ),
        pb.ConsoleRoom(
            room="ingest", state="serving", version="0.7.0", pid=4105, uptime_seconds=90_431, memory_mib=141,
            cpu_percent=7, open_rpcs=12, detail="2 streams",
        ),
        pb.ConsoleRoom(
            room="stt", state="serving", version="0.7.0", pid=4106, uptime_seconds=90_431, memory_mib=1843,
            cpu_percent=71, open_rpcs=2, detail="whisper small; load 41%",
        ),
        pb.ConsoleRoom(
            room="connector", state="not_serving", version="0.7.0", pid=4107, uptime_seconds=42, memory_mib=120,
            error="database: cannot be reached",
        ),
        pb.ConsoleRoom(room="report", state="away", error="cannot be reached"),
        pb.ConsoleQueue(queue="deliver", depth=7, pending=2, dead=3, oldest_age_seconds=400),
        pb.ConsoleQueue(queue="report", depth=1, pending=1, oldest_age_seconds=3),
        pb.ConsoleBreaker(name="sberjazz", state="open", failures=5, threshold=5, since_seconds=94),
        pb.ConsoleBreaker(name="room", state="closed", threshold=5, since_seconds=90_000),
        pb.ConsoleBreaker(name="stt.whisper", state="half_open", failures=3, threshold=5, since_seconds=12),
    )  # fmt: skip
    desk = gateway.desk
    desk.add_jobs("deliver", "job-00000881", "job-00000882", error="HTTP 503 from crm.example")
    desk.add_jobs("deliver", "job-00000883", error="HTTP 413: the payload of 1.2 MB is above 1 MB")
    desk.add_jobs("deliver", "job-00000890", state="running", error="")
    desk.audit = [
        admin.AuditEvent(
            sequence=42, time=at(33, 20), outcome="deny", subject="vera", auth_type="jwt", method="GRPC",
            endpoint="/agent.console.v1.ConsoleService/RunAction", reason="viewers only read", tenant_id="default",
        ),
        admin.AuditEvent(
            sequence=41, time=at(33, 2), outcome="allow", subject="ana", auth_type="api_key", method="CONSOLE",
            endpoint="job.requeue deliver/job-00000880", reason="crm is back", tenant_id="default",
        ),
    ]  # fmt: skip
    desk.meetings = [
        meetings.Meeting(
            meeting_id=MEETING, title="Board prep", state="live", language="ru", provider="sberjazz",
            create_time=at(8), segments=211, report_state="none",
        ),
        meetings.Meeting(
            meeting_id="0199a7c1-0000-7000-8000-00000retro31", title="Retro sprint 31", state="finished", language="en",
            provider="room", create_time=at(0), duration_ms=3_120_000, segments=640, report_state="ready",
        ),
    ]  # fmt: skip
    desk.deliveries = [
        reports.Delivery(
            delivery_id="d-1", channel="webhook", state="failed", last_error="HTTP 503 from crm.example",
            update_time=at(31, 9),
        ),
        reports.Delivery(delivery_id="d-2", channel="email", state="sent", update_time=at(30)),
    ]  # fmt: skip
    desk.participants = [
        connector.SessionParticipant(participant_id="Ana", display_name="Ana"),
        connector.SessionParticipant(participant_id="Kai", display_name="Kai", loss=0.06),
        connector.SessionParticipant(participant_id="Room", display_name="Room 4.12", muted=True),
    ]
    desk.history = [
        connector.BreakerChange(time=at(31, 50), state="open", reason="HTTP 502 from sberjazz"),
        connector.BreakerChange(time=at(4), state="closed", reason="manual"),
    ]
    desk.decisions = [
        connector.Decision(
            time=at(32), meeting_id=MEETING, provider="sberjazz", desired="in_call", observed="stale for 42 s",
            action="rejoin", reason="no audio", source="worker",
        ),
    ]  # fmt: skip
    desk.checks = [
        admin.SystemCheck(room="ingest", name="database", ok=True),
        admin.SystemCheck(
            room="connector", name="database", ok=False, message="cannot be reached; look at DATABASE_URL"
        ),
        admin.SystemCheck(room="stt", name="reachable", ok=True),
    ]
    desk.storage = [
        admin.StorageHealth(room="ingest", mode="s3", path="s3://recordings/prod", ok=True, latency_ms=31),
        admin.StorageHealth(room="report", mode="s3", path="s3://recordings/prod", error="AccessDenied"),
    ]
    desk.events = [
        meetings.WatchMeetingResponse(
            meeting=meetings.Meeting(meeting_id=MEETING, title="Board prep", state="live", start_time=at(8))
        ),
        *(segment(number, ("Ana", "Kai", "Noor")[number % 3], text) for number, text in enumerate(_TALK * 8, 1)),
        coverage("Ana", transcribed=812_000, silent=400_000, pending=2_000),
        coverage("Kai", transcribed=312_000, silent=870_000, lost=19_000, concealed=4_000),
        interim("Ana", "good, next point is", "the hiring plan"),
    ]
    return gateway


_TALK = (
    "Let us start with the state of the pipeline.",
    "Ingest is green, the webhook of the CRM fails since two minutes.",
    "I saw the breaker open, five 503s in a row, and then the queue grew until somebody noticed that the dead letters "
    "were not counted as depth at all.",
    "Can we requeue the dead letters once it closes?",
    "Yes, seven messages, I will do it from the console.",
)
