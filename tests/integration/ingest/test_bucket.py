"""The room over a bucket: sealed, heard again and erased there; operators see how the store is."""

import asyncio
from pathlib import Path

from agent.ingest.v1 import meeting_service_pb2 as mpb
from agent.ops.v1 import ops_service_pb2 as ops
from kit.db.tenancy import within
from services.ingest.erasure.repository import ErasureRepository
from services.ingest.intake.session import MeetingKey
from tests.fakes.s3_server import SECRET, serving_s3
from tests.integration.ingest.running import (
    SECONDS,
    finished,
    interview,
    running_ingest,
    send,
    serving_ingest,
    start_meeting,
)
from tests.kit_server import eventually


async def test_a_meeting_is_sealed_heard_and_erased_in_a_bucket(database_url: str, tmp_path: Path) -> None:
    with serving_s3() as server:
        async with running_ingest(database_url, tmp_path, bucket=server.place()) as near:
            user = near.ingest.user
            meeting_id = await start_meeting(user)
            await send(user, meeting_id, interview().requests)
            await finished(user, meeting_id)
            await eventually(lambda: not list(tmp_path.glob(f"journals/*/{meeting_id}")), seconds=SECONDS)
            assert len([blob async for blob in near.ingest.blobs.list(f"audio/default/{meeting_id}")]) == 2
            async with asyncio.timeout(SECONDS):
                request = mpb.GetAudioRequest(meeting_id=meeting_id)
                audio = b"".join([response.body.data async for response in user.meetings.GetAudio(request)])
            assert audio.startswith(b"OggS")
            await user.meetings.DeleteMeeting(mpb.DeleteMeetingRequest(meeting_id=meeting_id))
            erasure = ErasureRepository(near.ingest.database)

            async def gone() -> bool:
                with within("default"):
                    return (await erasure.tombstone(MeetingKey("default", meeting_id))).blobs_gone_time is not None

            await eventually(gone, SECONDS)
            assert [blob async for blob in near.ingest.blobs.list("audio")] == []


async def test_operators_see_how_the_store_is(database_url: str, tmp_path: Path) -> None:
    with serving_s3() as server:
        async with serving_ingest(database_url, tmp_path, bucket=server.place()) as ingest:
            health = await ingest.service.ops.GetStorageHealth(ops.GetStorageHealthRequest())
            assert (health.mode, health.ok, health.error) == ("s3", True, "")
            assert health.path == f"s3://recordings/mesh/one at {server.endpoint}"
            assert SECRET not in str(health)
            server.drop_bucket()
            health = await ingest.service.ops.GetStorageHealth(ops.GetStorageHealthRequest())
            assert not health.ok
            assert "the bucket does not exist" in health.error
            queues = await ingest.service.ops.ListQueues(ops.ListQueuesRequest())
            assert [queue.queue for queue in queues.queues] == ["ingest"]
