"""Tenants at the room: what one names of another's is not there, whatever the statements behind a call forget."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.ingest.v1 import meeting_service_pb2 as mpb
from kit.auth.principal import TENANT_ID
from kit.db.tenancy import across_tenants
from kit.rpc.status import error_of
from services.ingest.intake.session import MeetingKey
from services.ingest.repository import IngestRepository
from store.models import meetings
from tests.integration.ingest.running import serving_ingest, start_meeting


def any_tenants(key: MeetingKey) -> Any:
    """Compare as `is_meeting` does, with the tenant forgotten."""
    return meetings.c.id == key.meeting_id


async def test_a_query_that_forgets_its_tenant_answers_no_other_tenant(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    umbrella = ((TENANT_ID, "umbrella"),)
    async with serving_ingest(database_url, tmp_path) as ingest:
        meeting_id = await start_meeting(ingest.user)  # of the tenant "default"
        monkeypatch.setattr("services.ingest.repository.is_meeting", any_tenants)
        monkeypatch.setattr("services.ingest.erasure.repository.is_meeting", any_tenants)
        with across_tenants():  # such a query does leak, if nothing stands behind it
            found = await IngestRepository(ingest.database).meeting(MeetingKey("umbrella", meeting_id))
            assert found.tenant_id == "default"
        for call, request in (
            (ingest.service.meetings.GetMeeting, mpb.GetMeetingRequest(meeting_id=meeting_id)),
            (ingest.service.meetings.FinishMeeting, mpb.FinishMeetingRequest(meeting_id=meeting_id)),
            (ingest.service.meetings.DeleteMeeting, mpb.DeleteMeetingRequest(meeting_id=meeting_id)),
            (ingest.service.meetings.GetCoverage, mpb.GetCoverageRequest(meeting_id=meeting_id)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(request, metadata=umbrella)
            assert error_of(caught.value).reason == "ERROR_REASON_MEETING_NOT_FOUND"
        there = await ingest.user.meetings.GetMeeting(mpb.GetMeetingRequest(meeting_id=meeting_id))
        assert there.meeting.state == "scheduled"
