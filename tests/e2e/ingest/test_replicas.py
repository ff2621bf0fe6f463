"""Two replicas of ingest, any of which is a door: kill the one that keeps the meeting, and nobody hears of it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest

from agent.common.v1 import transcript_pb2
from agent.ingest.v1 import meeting_service_pb2 as mpb
from kit.auth.principal import DEFAULT_TENANT
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from services.connector.provider import Basis, JoinSpec
from services.connector.spans import Kind
from services.connector.uplink.uplink import Uplink, open_uplink
from tests.e2e.rooms.process import SERVICE_KEY, USER_KEY, RoomProcess, room_process
from tests.fakes.stt_server import Speech, serving_speech
from tests.integration.ingest.running import (
    SECONDS,
    Script,
    Stubs,
    connected,
    finished,
    heard,
    interview,
    refused,
    segments,
    spoken,
    start_meeting,
    stubs,
)
from tests.kit_server import eventually
from tests.postgres import fresh_url


@dataclass
class Mesh:
    """Two replicas with journals and blobs that both see."""

    one: RoomProcess
    other: RoomProcess
    at_one: Stubs
    at_other: Stubs
    at_both: grpc.aio.Channel

    @property
    def clients(self) -> Stubs:
        """Stubs that call whichever replica is there."""
        return stubs(self.at_both)


@asynccontextmanager
async def two_replicas(shared: Path, speech: Speech, **settings: str) -> AsyncIterator[Mesh]:
    """Start both and wait until they serve."""
    with fresh_url() as url:
        async with serving_speech(speech) as stt_port:
            common = {
                "DATABASE_URL": url,
                "STT_TARGET": f"127.0.0.1:{stt_port}",
                "STORAGE_MODE": "shared_fs",
                "STORAGE_PATH": str(shared / "blobs"),
                "INGEST_LEASE_SECONDS": "2",
                "INGEST_COMMIT_INTERVAL_SECONDS": "0.05",
                "INGEST_HEARTBEAT_SECONDS": "0.5",
                "INGEST_SESSION_TIMEOUT_SECONDS": "20",
                **settings,
            }
            async with (
                room_process("ingest", **common) as one,
                room_process("ingest", **common) as other,
                open_channel(one.address, api_key=USER_KEY) as at_one,
                open_channel(other.address, api_key=USER_KEY) as at_other,
                open_channel(f"{one.address},{other.address}", api_key=SERVICE_KEY) as both,
            ):
                yield Mesh(one, other, stubs(at_one), stubs(at_other), both)


@dataclass
class Audience:
    """Somebody who watches a meeting and, when the stream breaks, goes on after the cursor wherever one answers."""

    doors: list[Stubs]
    meeting_id: str
    segments: list[transcript_pb2.Segment] = field(default_factory=list)
    connections: int = 0
    interims: int = 0

    async def watch(self) -> None:
        """Watch to the account that follows the last segment."""
        cursor = 0
        while True:
            request = mpb.WatchMeetingRequest(meeting_id=self.meeting_id, after=cursor, interim=True)
            try:
                with held(self.doors[self.connections % len(self.doors)].meetings.WatchMeeting(request)) as watching:
                    self.connections += 1
                    over = False
                    async for event in watching:
                        cursor = event.cursor
                        over = over or (event.HasField("meeting") and event.meeting.state == "finished")
                        self.interims += event.HasField("interim")
                        if event.HasField("segment"):
                            self.segments.append(event.segment)
                        if over and event.HasField("coverage") and self._complete(event.coverage):
                            return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)

    def _complete(self, coverage: mpb.CoverageUpdate) -> bool:
        return all(one.coverage_ms.pending == 0 for one in coverage.participants)


async def own(client: Stubs, meeting_id: str) -> None:
    """Let the replica behind a stub become the meeting's owner: it is the first to take the session."""
    async with connected(client, meeting_id, "call"):
        pass


async def speak(uplink: Uplink, script: Script, pace_seconds: float = 0.004) -> None:
    """Give the connector's uplink what the script says, faster than people speak."""
    uplink.begin(1_700_000_000_000)
    for request in script.requests:
        match request.WhichOneof("message"):
            case "track":
                start = request.track
                uplink.start_track(start.participant_id, start.display_name, Basis.OWN_TRACK, start.start_sample)
            case "audio":
                uplink.audio(request.audio.track, request.audio.start_sample, request.audio.pcm, Kind.OK)
                await asyncio.sleep(pace_seconds)
            case "track_end":
                uplink.end_track(request.track_end.track, request.track_end.end_sample)
            case "end":
                uplink.end(request.end.end_sample)


def texts(found: Any) -> list[tuple[str, int, int, str]]:
    """Return a transcript as it may be compared: who said what from when to when."""
    return sorted((one.participant_id, one.start_ms, one.end_ms, one.text) for one in found)


async def undisturbed(mesh: Mesh, script: Script) -> list[tuple[str, int, int, str]]:
    """Return the transcript of a meeting to which nothing happens."""
    meeting_id = await start_meeting(mesh.clients)
    spec = JoinSpec(meeting_id, DEFAULT_TENANT)
    async with open_uplink(mesh.at_both, spec, "call", backlog_bytes=1 << 24, ack_seconds=5) as uplink:
        await speak(uplink, script, 0)
        await uplink.over()
    await finished(mesh.clients, meeting_id)
    return texts(await segments(mesh.clients, meeting_id))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_the_owner_goes_in_the_middle_of_a_stream_through_the_other_and_nobody_hears_of_it(
    how: signal.Signals, tmp_path: Path
) -> None:
    speech = Speech()
    script = interview(seed=21, utterances=40)
    async with two_replicas(tmp_path, speech) as mesh:
        wanted = await undisturbed(mesh, script)
        meeting_id = await start_meeting(mesh.at_one)
        await own(mesh.at_one, meeting_id)
        near = Audience([mesh.at_other], meeting_id)
        far = Audience([mesh.at_one, mesh.at_other], meeting_id)
        async with (
            asyncio.TaskGroup() as tasks,
            open_channel(mesh.other.address, api_key=SERVICE_KEY) as wrong_door,
            open_uplink(
                wrong_door, JoinSpec(meeting_id, DEFAULT_TENANT), "call", backlog_bytes=1 << 24, ack_seconds=5
            ) as uplink,
        ):
            watching = [tasks.create_task(each.watch()) for each in (near, far)]
            speaking = tasks.create_task(speak(uplink, script))
            await eventually(lambda: len(near.segments) > 10 and len(far.segments) > 10, seconds=SECONDS)
            assert "stream_forwarded" in {line["event"] for line in mesh.other.log}
            assert not speaking.done()
            os.kill(mesh.one.pid, how)
            await speaking
            async with asyncio.timeout(SECONDS):
                await uplink.over()
            async with asyncio.timeout(SECONDS):
                await asyncio.gather(*watching)
        await finished(mesh.at_other, meeting_id)
        assert texts(await segments(mesh.at_other, meeting_id)) == wanted
        assert heard(near.segments) == spoken(script)
        for audience in (near, far):
            assert [each.ordinal for each in audience.segments] == list(range(1, len(wanted) + 1))
            assert texts(audience.segments) == wanted
            assert audience.interims > 0
        assert near.connections == 1
        assert uplink.connections > 1


async def test_the_connectors_uplink_finds_the_other_replica_by_itself(tmp_path: Path) -> None:
    script = interview(seed=23, utterances=40)
    async with two_replicas(tmp_path, Speech()) as mesh:
        meeting_id = await start_meeting(mesh.clients)
        await own(mesh.at_one, meeting_id)
        spec = JoinSpec(meeting_id, DEFAULT_TENANT)
        async with (
            asyncio.TaskGroup() as tasks,
            open_uplink(mesh.at_both, spec, "call", backlog_bytes=1 << 24, ack_seconds=5) as uplink,
        ):
            speaking = tasks.create_task(speak(uplink, script))

            async def some_text() -> bool:
                request = mpb.GetMeetingRequest(meeting_id=meeting_id)
                return int((await mesh.at_other.meetings.GetMeeting(request)).meeting.segments) > 10

            await eventually(some_text, seconds=SECONDS)
            os.kill(mesh.one.pid, signal.SIGKILL)
            await speaking
            async with asyncio.timeout(SECONDS):
                await uplink.over()
        await finished(mesh.at_other, meeting_id)
        assert heard(await segments(mesh.at_other, meeting_id)) == spoken(script)


async def test_questions_about_a_live_meeting_get_one_answer_at_any_door(tmp_path: Path) -> None:
    script = interview(seed=25, utterances=4)
    async with two_replicas(tmp_path, Speech()) as mesh:
        meeting_id = await start_meeting(mesh.at_other)
        length = 0
        async with connected(mesh.at_one, meeting_id, "call") as (call, _):
            for request in script.requests[:-3]:
                await call.write(request)
            length = max(script.positions.values()) // 16

            async def both_know() -> bool:
                asked = mpb.GetCoverageRequest(meeting_id=meeting_id)
                coverage = await mesh.at_other.meetings.GetCoverage(asked)
                seen = (await mesh.at_other.meetings.GetMeeting(mpb.GetMeetingRequest(meeting_id=meeting_id))).meeting
                return bool(coverage.duration_ms == seen.duration_ms == length)

            await eventually(both_know, seconds=SECONDS)
            nobody = mesh.at_other.meetings.GetCoverage(mpb.GetCoverageRequest(meeting_id="nowhere"))
            assert (await refused(nobody)).reason == "ERROR_REASON_MEETING_NOT_FOUND"
            await mesh.at_other.meetings.FinishMeeting(mpb.FinishMeetingRequest(meeting_id=meeting_id))
            for request in script.requests[-3:]:
                await call.write(request)
        await finished(mesh.at_other, meeting_id)
        assert heard(await segments(mesh.at_other, meeting_id)) == spoken(script)


async def test_the_gateway_goes_on_through_the_other_replica(tmp_path: Path) -> None:
    async with (
        two_replicas(tmp_path, Speech()) as mesh,
        room_process("gateway", INGEST_TARGET=f"{mesh.one.address},{mesh.other.address}") as gateway,
        httpx2.AsyncClient(base_url=gateway.url, headers={"x-api-key": USER_KEY}, timeout=SECONDS) as client,
    ):
        meeting_id = await start_meeting(mesh.clients)
        os.kill(mesh.one.pid, signal.SIGKILL)
        await mesh.one.ended()

        async def answers() -> bool:
            return (await client.get(f"/v1/meetings/{meeting_id}")).status_code == 200

        await eventually(answers, seconds=SECONDS)
        codes = [(await client.get(f"/v1/meetings/{meeting_id}")).status_code for _ in range(20)]
        assert codes == [200] * 20
