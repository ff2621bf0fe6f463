"""QUEUE_MODE=inline: who ends a meeting gets its report; nobody waits longer than they said, and nothing is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from agent.ingest.v1 import meeting_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2_grpc as meeting_grpc
from kit.auth.authenticator import ApiKeys
from kit.auth.keys import KeyRing
from kit.blobs import open_blobs
from kit.clock import monotonic
from kit.db.engine import open_database
from kit.lifecycle import Shutdown
from kit.rpc.client import open_channel
from kit.settings import TargetSettings
from services.ingest.app import Options, open_ingest
from services.ingest.settings import IngestSettings, MeetingSettings
from services.report.app import open_report
from services.report.settings import ReportSettings
from tests.kit_server import eventually
from tests.postgres import fresh_url

USER_KEY, SERVICE_KEY = "user-key-of-the-tests", "service-key-of-the-tests"
AUTH = ApiKeys(KeyRing((SecretStr(USER_KEY),), (SecretStr(SERVICE_KEY),)))
NOWHERE = "127.0.0.1:1"


@dataclass(frozen=True, slots=True)
class Ingest:
    """The room's meetings as a user calls them."""

    stub: Any
    url: str
    root: Path

    async def finished(self, seconds: float = 30.0) -> pb.Meeting:
        """Start a meeting that nobody is heard in, and end it."""
        started = await self.stub.StartMeeting(pb.StartMeetingRequest(mode="upload"))
        request = pb.FinishMeetingRequest(meeting_id=started.meeting_id)
        meeting: pb.Meeting = (await self.stub.FinishMeeting(request, timeout=seconds)).meeting
        return meeting

    async def get(self, meeting_id: str) -> pb.Meeting:
        """Ask for a meeting with all that was made of it."""
        meeting: pb.Meeting = (await self.stub.GetMeeting(pb.GetMeetingRequest(meeting_id=meeting_id))).meeting
        return meeting


@asynccontextmanager
async def running_ingest(root: Path, *, inline: bool) -> AsyncIterator[Ingest]:
    targets = TargetSettings(stt_target=NOWHERE, report_target=NOWHERE, connector_target=NOWHERE)
    settings = IngestSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", min_free_mb=0)
    options = Options(settings, MeetingSettings(), targets, root / "ingest", SERVICE_KEY, inline=inline)
    with fresh_url() as url:
        async with (
            open_database(url) as database,
            open_blobs("local_fs", root / "blobs") as blobs,
            open_ingest(options, database, blobs, AUTH, Shutdown()) as room,
            open_channel(room.server.address, api_key=USER_KEY) as channel,
        ):
            yield Ingest(meeting_grpc.MeetingServiceStub(channel), url, root)


@asynccontextmanager
async def running_report(ingest: Ingest, *, inline: bool) -> AsyncIterator[None]:
    settings = ReportSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0")
    async with (
        open_database(ingest.url) as database,
        open_blobs("local_fs", ingest.root / "blobs") as blobs,
        open_report(settings, database, blobs, AUTH, Shutdown(), inline=inline),
    ):
        yield


async def test_inline_the_report_is_there_when_the_meeting_is_finished(tmp_path: Path) -> None:
    async with running_ingest(tmp_path, inline=True) as ingest, running_report(ingest, inline=True):
        finished = await ingest.finished()
        assert finished.state == "finished"
        meeting = await ingest.get(finished.meeting_id)
        assert meeting.report.meeting_id == finished.meeting_id


async def test_nobody_waits_past_their_deadline_and_the_work_is_done_later(tmp_path: Path) -> None:
    async with running_ingest(tmp_path, inline=True) as ingest:
        began = monotonic()
        finished = await ingest.finished(seconds=2.0)
        assert monotonic() - began < 2.0
        assert finished.state == "finished"
        async with running_report(ingest, inline=True):

            async def reported() -> bool:
                return (await ingest.get(finished.meeting_id)).HasField("report")

            await eventually(reported, 20.0)


async def test_otherwise_the_end_of_a_meeting_waits_for_no_report(tmp_path: Path) -> None:
    async with running_ingest(tmp_path, inline=False) as ingest:
        assert (await ingest.finished()).state == "finished"
