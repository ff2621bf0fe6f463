"""A call that keeps its audio until it is fetched, with a connector that is killed in the middle: nothing is lost."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from agent.connector.v1 import connector_service_pb2 as pb
from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceStub
from agent.ingest.v1 import meeting_service_pb2 as mpb
from kit.auth.authenticator import TENANT_ID
from kit.rpc.client import open_channel
from services.connector.providers.sberjazz_mock.faults import Fault, Planned
from services.connector.providers.sberjazz_mock.server import DEFAULT_TOKEN, open_mock
from services.connector.providers.sberjazz_mock.voices import Voice
from tests.e2e.rooms.process import room_process
from tests.integration.ingest.running import SERVICE_KEY, finished, running_ingest, start_meeting
from tests.kit_server import eventually

pytestmark = pytest.mark.realtime

SOUND = np.random.default_rng(1).integers(-9_000, 9_000, 16_000 * 120).astype(np.int16)
SECONDS = 40.0


async def test_the_connector_comes_back_by_itself_and_fetches_what_was_said_meanwhile(
    database_url: str, tmp_path: Path
) -> None:
    faults = [Planned(Fault.DUPLICATES), Planned(Fault.TOO_MANY, 2, "live-pull"), Planned(Fault.LATE)]
    async with (
        running_ingest(database_url, tmp_path) as near,
        open_mock([Voice("p-1", "Anna", SOUND)], chunk_seconds=0.5, faults=faults) as (mock, url),
    ):
        settings = {
            "DATABASE_URL": database_url,
            "SERVICE_API_KEYS": SERVICE_KEY,
            "INGEST_TARGET": near.ingest.room.server.address,
            "SBERJAZZ_API_BASE": url,
            "SBERJAZZ_API_TOKEN": DEFAULT_TOKEN,
            "SBERJAZZ_RECONCILE_STALE_SEC": "5",
            "RECONCILIATION_INTERVAL_SEC": "0.5",
        }
        meeting_id = await start_meeting(near.ingest.user, mode="realtime")
        tenant = ((TENANT_ID, "default"),)

        def requests() -> int:
            return mock.requests.get("live-pull", 0)

        async with room_process("connector", **settings) as first:
            async with open_channel(first.address, api_key=SERVICE_KEY) as channel:
                joined = await ConnectorServiceStub(channel).Join(
                    pb.JoinRequest(meeting_id=meeting_id, provider="sberjazz", language="en"), metadata=tenant
                )
            assert joined.session.state == pb.SESSION_STATE_LIVE
            await eventually(lambda: requests() >= 6, SECONDS)
            os.kill(first.pid, signal.SIGKILL)
            await first.ended()
            pulled = requests()
        async with room_process("connector", **settings) as second:
            await eventually(lambda: requests() > pulled + 2, SECONDS)
            async with open_channel(second.address, api_key=SERVICE_KEY) as channel:
                left = await ConnectorServiceStub(channel).Leave(
                    pb.LeaveRequest(meeting_id=meeting_id, reason="done"), metadata=tenant
                )
        assert (left.session.session_id, left.session.epoch) == (joined.session.session_id, 2)
        assert left.session.state == pb.SESSION_STATE_ENDED
        meeting = await finished(near.ingest.user, meeting_id)
        (stay,) = mock.calls.stays[meeting_id]
        assert stay.ended_at is not None
        assert abs(meeting.duration_ms - (stay.ended_at - stay.began_at) * 1000) <= 1
        coverage = await near.ingest.user.meetings.GetCoverage(mpb.GetCoverageRequest(meeting_id=meeting_id))
        (anna,) = coverage.participants
        assert (anna.coverage_ms.lost, anna.coverage_ms.muted, anna.absent_ms) == (0, 0, 0)
        assert [(one.display_name, one.basis) for one in meeting.participants] == [("Anna", "own_track")]
