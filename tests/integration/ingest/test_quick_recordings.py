"""RecorderService: a link becomes a meeting, its recorder goes in and out, its sound comes as one MP3."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from agent.connector.v1 import connector_service_pb2 as connector_pb
from agent.ingest.v1 import meeting_service_pb2 as mpb
from agent.ingest.v1 import recorder_service_pb2 as pb
from kit.rpc.client import open_channel
from services.ingest.settings import QuickRecordingSettings
from tests.fakes.connector_server import Connector, serving_connector
from tests.integration.ingest.running import (
    SECONDS,
    Neighbourhood,
    connected,
    interview,
    refused,
    running_ingest,
    send,
    start_meeting,
    stubs,
)
from tests.integration.ingest.test_recordings import fetched, samples
from tests.kit_server import eventually
from tests.postgres import fresh_url

URL = "https://user:secret@meet.example.org/standup?pwd=1234#now"


@dataclass
class Near:
    """The room, its connector, and the recorder's stub."""

    place: Neighbourhood
    connector: Connector
    recorder: Any

    async def start(self, **fields: Any) -> pb.Recording:
        request = pb.StartRecordingRequest(**{"url": URL, **fields})
        return (await self.recorder.StartRecording(request)).recording  # type: ignore[no-any-return]

    async def status(self, recording_id: str = "") -> pb.Recording:
        request = pb.GetRecordingStatusRequest(recording_id=recording_id)
        return (await self.recorder.GetRecordingStatus(request)).recording  # type: ignore[no-any-return]

    async def stop(self, recording_id: str = "") -> pb.Recording:
        return (await self.recorder.StopRecording(pb.StopRecordingRequest(recording_id=recording_id))).recording  # type: ignore[no-any-return]

    async def reaches(self, state: str, recording_id: str = "") -> pb.Recording:
        async def there() -> bool:
            return (await self.status(recording_id)).state == state

        await eventually(there, seconds=SECONDS)
        return await self.status(recording_id)

    async def meeting(self, meeting_id: str) -> mpb.Meeting:
        client = self.place.ingest.user.meetings
        return (await client.GetMeeting(mpb.GetMeetingRequest(meeting_id=meeting_id))).meeting  # type: ignore[no-any-return]


@asynccontextmanager
async def near(data: Path, *, url: str = "", **quick: Any) -> AsyncIterator[Near]:
    connector = Connector()
    async with AsyncExitStack() as stack:
        database = url or stack.enter_context(fresh_url())
        port = await stack.enter_async_context(serving_connector(connector))
        settings = QuickRecordingSettings(**quick)
        opening = running_ingest(database, data, connector_port=port, quick=settings)
        place = await stack.enter_async_context(opening)
        yield Near(place, connector, place.ingest.user.recorder)


async def say(near: Near, meeting_id: str) -> Any:
    """Let two people be heard, as the connector would bring them."""
    script = interview(seed=3)
    await send(near.place.ingest.service, meeting_id, script.requests)
    return script


async def test_a_link_is_recorded_until_it_is_stopped_and_comes_as_one_mp3(tmp_path: Path):
    async with near(tmp_path, segment_seconds=1) as it:
        assert (await it.status()).state == "idle"
        assert (await it.stop()).state == "idle"
        begun = await it.start(upload_to_agent=True, language="en")
        assert begun.state == "recording"
        assert begun.session_state == "SESSION_STATE_LIVE"
        assert begun.url == "https://meet.example.org/standup", "nothing secret of the link is shown"
        (join,) = it.connector.joins
        assert (join.provider, join.meeting_url, join.language) == ("browser", URL, "en")
        script = await say(it, begun.meeting_id)
        seconds = max(script.positions.values()) // 16_000
        live = await it.status()
        assert (live.seconds, live.segments) == (seconds, seconds)
        assert (await it.stop()).state in ("assembling", "done")
        done = await it.reaches("done")
        assert done.audio_path == f"/v1/meetings/{begun.meeting_id}/audio?format=mp3"
        assert done.segments == seconds + 1
        kind, mp3 = await fetched(it.place.ingest.user, begun.meeting_id, fmt="mp3")
        assert kind == "audio/mpeg"
        _, master = await fetched(it.place.ingest.user, begun.meeting_id, fmt="flac")
        heard, meant = samples(mp3).astype(np.float64), samples(master).astype(np.float64)
        assert 0 <= len(heard) - len(meant) < 3_000, "the codec adds its own delay, no more"
        spectrum = np.fft.rfft(heard, 2 * len(heard)) * np.conj(np.fft.rfft(meant, 2 * len(heard)))
        likeness = np.fft.irfft(spectrum).max() / np.sqrt((heard**2).sum() * (meant**2).sum())
        assert likeness > 0.85, "noise is the worst that a codec for speech can be given"
        meeting = await it.meeting(begun.meeting_id)
        assert meeting.title == "meet.example.org"
        assert meeting.segments > 0
        assert meeting.report_state == "queued"


async def test_sound_alone_has_neither_text_nor_report_and_the_account_says_so(tmp_path: Path):
    async with near(tmp_path) as it:
        begun = await it.start()
        script = await say(it, begun.meeting_id)
        await it.stop(begun.recording_id)
        await it.reaches("done")
        meeting = await it.meeting(begun.meeting_id)
        assert (meeting.segments, meeting.report_state) == (0, "none")
        assert {voice.participant_id for voice in meeting.participants} == {"anna", "boris"}
        client = it.place.ingest.user.meetings
        coverage = await client.GetCoverage(mpb.GetCoverageRequest(meeting_id=begun.meeting_id))
        for one in coverage.participants:
            assert one.coverage_ms.pending == max(script.positions.values()) // 16, "nobody decided what was said"
        text_only = await it.start(transcribe=True)
        await say(it, text_only.meeting_id)
        await it.stop()
        await it.reaches("done", text_only.recording_id)
        meeting = await it.meeting(text_only.meeting_id)
        assert meeting.segments > 0
        assert meeting.report_state == "none"


async def test_it_stops_by_itself_after_its_time_or_with_the_call(tmp_path: Path):
    async with near(tmp_path) as it:
        timed = await it.start(duration_sec=1)
        script = interview(seed=5)
        async with connected(it.place.ingest.service, timed.meeting_id, "s") as (call, _):
            for request in script.requests[:-1]:
                await call.write(request)
            await eventually(lambda: it.connector.leaves == [timed.meeting_id], seconds=SECONDS)
            await call.write(script.requests[-1])
            await it.reaches("done")
        ended = await it.start()
        await say(it, ended.meeting_id)
        session = it.connector.sessions[ended.meeting_id]
        session.state, session.reason = connector_pb.SESSION_STATE_ENDED, "everyone has left"
        assert (await it.reaches("done", ended.recording_id)).error == ""
        unheard = await it.start()
        it.connector.sessions[unheard.meeting_id].state = connector_pb.SESSION_STATE_FAILED
        it.connector.sessions[unheard.meeting_id].reason = "the page did not let the recorder in within 60 s"
        failed = await it.reaches("failed", unheard.recording_id)
        assert failed.error == "the page did not let the recorder in within 60 s"
        assert failed.audio_path == ""


async def test_a_link_that_cannot_be_recorded_says_what_to_do(tmp_path: Path):
    async with near(tmp_path) as it:
        it.connector.disabled = {"browser"}
        problem = await refused(it.start())
        assert (problem.code, problem.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "ERROR_REASON_PROVIDER_DISABLED",
        )
        assert "BROWSER_ENABLED" in problem.message
        failed = await it.status()
        assert (failed.state, failed.error) == ("failed", "set BROWSER_ENABLED=true")
        room = await start_meeting(it.place.ingest.user)
        await it.start(url=f"http://public.example.org/rooms/{room}")
        join = it.connector.joins[-1]
        assert join.provider == "room", "a room of our own needs no browser"
        assert join.meeting_url.endswith(f"/rooms/{room}")
        assert not join.meeting_url.startswith("http://public.example.org")
        for wrong in ({"url": "ftp://x/y"}, {"url": "nonsense"}, {"duration_sec": -1}, {"duration_sec": 10**6}):
            assert (await refused(it.start(**wrong))).reason == "ERROR_REASON_INVALID_FIELD"
        assert (await refused(it.status("nobody's"))).reason == "ERROR_REASON_MEETING_NOT_FOUND"


async def test_a_request_makes_one_recording_and_only_so_many_go_on_at_once(tmp_path: Path):
    async with near(tmp_path, most_at_once=1) as it:
        first = await it.start(request_id="r")
        assert (await it.start(request_id="r")).recording_id == first.recording_id
        assert len(it.connector.joins) == 1
        assert (await refused(it.start(request_id="r", title="another"))).reason == "ERROR_REASON_REQUEST_ID_REUSED"
        assert (await refused(it.start())).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await refused(it.start(request_id="s"))).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        await it.stop(first.recording_id)
        await it.start()


async def test_a_recording_outlives_the_process_that_began_it(tmp_path: Path):
    with fresh_url() as url:
        async with near(tmp_path, url=url) as it:
            begun = await it.start(duration_sec=1)
            script = await say(it, begun.meeting_id)
        async with near(tmp_path, url=url) as it:
            it.connector.sessions[begun.meeting_id] = connector_pb.Session(state=connector_pb.SESSION_STATE_LIVE)
            assert (await it.reaches("done", begun.recording_id)).seconds == max(script.positions.values()) // 16_000
            async with open_channel(it.place.ingest.room.server.address, api_key="service-key-of-the-tests") as channel:
                other = stubs(channel).recorder.GetRecordingStatus(
                    pb.GetRecordingStatusRequest(), metadata=(("x-tenant-id", "other"),)
                )
                assert (await other).recording.state == "idle", "another tenant sees nothing of it"
