"""WatchMeeting: from the cursor on each segment once and in order, whatever happened to the watcher."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from agent.ingest.v1 import audio_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2 as mpb
from kit.db.tenancy import within
from kit.rpc.calls import held
from services.ingest.intake.session import MeetingKey
from services.ingest.repository import IngestRepository
from store.models import meetings
from tests.integration.ingest.running import (
    FRAME,
    SECONDS,
    Neighbourhood,
    Script,
    Stubs,
    connected,
    heard,
    interview,
    refused,
    rest,
    running_ingest,
    send,
    speech,
    spoken,
    start_meeting,
    until_durable,
)
from tests.kit_server import eventually
from tests.postgres import whole


async def watched(
    client: Stubs,
    meeting_id: str,
    *,
    after: int = 0,
    interim: bool = False,
    until: Callable[[Any], bool] = lambda event: False,
) -> list[Any]:
    """Watch until the stream ends or an event is the one that is waited for."""
    events = []
    request = mpb.WatchMeetingRequest(meeting_id=meeting_id, after=after, interim=interim)
    with held(client.meetings.WatchMeeting(request)) as watching:
        async with asyncio.timeout(SECONDS):
            async for event in watching:
                events.append(event)
                if until(event):
                    return events
    return events


def kinds(events: list[Any]) -> set[str]:
    return {event.WhichOneof("event") for event in events}


async def report_is(near: Neighbourhood, meeting_id: str, state: str) -> None:
    """Do what the report room's worker does last."""
    async with whole(near.ingest.database).begin() as connection:
        await connection.execute(meetings.update().where(meetings.c.id == meeting_id).values(report_state=state))


async def test_a_live_watcher_sees_everything_once_until_the_report_is_there(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(seed=2, utterances=8)
        watching = asyncio.create_task(watched(near.ingest.user, meeting_id, interim=True))
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            for request in script.requests:
                await call.write(request)
                await asyncio.sleep(0.002)
            await until_durable(call, len(script.requests))
        repository = IngestRepository(near.ingest.database)

        async def queued() -> bool:
            with within("default"):
                return await repository.report_state(MeetingKey("default", meeting_id)) == ("finished", "queued")

        await eventually(queued, seconds=SECONDS)
        assert not watching.done()
        await report_is(near, meeting_id, "ready")
        events = await watching
        found = [event.segment for event in events if event.HasField("segment")]
        assert heard(found) == spoken(script)
        assert [segment.ordinal for segment in found] == list(range(1, len(found) + 1))
        assert {"meeting", "participant", "interim", "segment", "insight", "coverage"} <= kinds(events)
        states = [event.meeting.state for event in events if event.HasField("meeting")]
        assert states[0] == "scheduled"
        assert states[-1] == "finished"
        assert {"live", "finishing"} <= set(states)
        assert events[-1].meeting.report_state == "ready"
        assert [event.cursor for event in events] == sorted(event.cursor for event in events)
        coverage = [event.coverage for event in events if event.HasField("coverage")]
        for update in coverage:
            for one in update.participants:
                totals = one.coverage_ms
                sums = [getattr(totals, field.name) for field in totals.DESCRIPTOR.fields]
                assert sum(sums) + one.absent_ms == update.duration_ms


async def test_who_looks_on_learns_how_loud_everybody_is_and_the_cursor_does_not_move(
    database_url: str, tmp_path: Path
) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = Script()
        script.track(1, "anna")
        script.track(2, "boris")
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):

            async def talk() -> None:
                for number in range(1_000):
                    before = len(script.requests) if number else 0
                    script.say(1, speech(FRAME, number))
                    script.say(2, np.zeros(FRAME, np.int16))
                    for request in script.requests[before:]:
                        await call.write(request)
                    await asyncio.sleep(0.05)

            talking = asyncio.create_task(talk())
            try:
                events = await watched(near.ingest.user, meeting_id, until=lambda event: event.HasField("levels"))
            finally:
                talking.cancel()
        assert {each.participant_id: each.level for each in events[-1].levels.participants} == {"anna": 15, "boris": 0}
        assert events[-1].cursor == 0


async def test_a_watcher_that_comes_back_goes_on_after_its_cursor(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(seed=4, utterances=8)
        sending = asyncio.create_task(send(near.ingest.user, meeting_id, script.requests))
        texts: list[Any] = []
        cursor = 0
        while len(texts) < 9:
            events = await watched(
                near.ingest.user, meeting_id, after=cursor, until=lambda event: event.HasField("segment")
            )
            texts += [event.segment for event in events if event.HasField("segment")]
            cursor = events[-1].cursor
        await sending
        total = sum(map(len, spoken(script).values()))
        events = await watched(near.ingest.user, meeting_id, after=cursor, until=lambda event: event.cursor == total)
        texts += [event.segment for event in events if event.HasField("segment")]
        assert [segment.ordinal for segment in texts] == list(range(1, len(texts) + 1))
        assert heard(texts) == spoken(script)
        assert "interim" not in kinds(events)


async def test_a_watcher_that_falls_behind_starts_over_by_itself_and_misses_no_segment(
    database_url: str, tmp_path: Path
) -> None:
    async with running_ingest(database_url, tmp_path, watch_queue=16) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(seed=6, utterances=120)
        request = mpb.WatchMeetingRequest(meeting_id=meeting_id, interim=True)
        with held(near.ingest.user.meetings.WatchMeeting(request)) as watching:
            await watching.read()
            await send(near.ingest.user, meeting_id, script.requests)  # meanwhile nobody reads
            total = sum(map(len, spoken(script).values()))
            found: list[Any] = []
            async with asyncio.timeout(SECONDS):
                while len(found) < total:
                    event = await watching.read()
                    if event.HasField("segment"):
                        found.append(event.segment)
        assert [segment.ordinal for segment in found] == list(range(1, total + 1))
        assert heard(found) == spoken(script)


async def test_a_quiet_meeting_has_a_heartbeat(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path, heartbeat_seconds=0.05) as near:
        meeting_id = await start_meeting(near.ingest.user)
        events = await watched(near.ingest.user, meeting_id, until=lambda event: event.HasField("heartbeat"))
        assert [event.WhichOneof("event") for event in events] == ["meeting", "heartbeat"]


async def test_a_failed_report_ends_the_stream_too(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        await near.ingest.user.meetings.FinishMeeting(mpb.FinishMeetingRequest(meeting_id=meeting_id))
        await report_is(near, meeting_id, "failed")
        events = await watched(near.ingest.user, meeting_id)
        assert events[-1].meeting.report_state == "failed"


async def test_nobody_watches_what_is_not_there(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        problem = await refused(watched(near.ingest.user, "nowhere"))
        assert (problem.code, problem.reason, problem.metadata) == (
            grpc.StatusCode.NOT_FOUND,
            "ERROR_REASON_MEETING_NOT_FOUND",
            {"meetingId": "nowhere"},
        )


async def test_watchers_are_sent_elsewhere_when_the_server_stops(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        with held(near.ingest.user.meetings.WatchMeeting(mpb.WatchMeetingRequest(meeting_id=meeting_id))) as watching:
            await watching.read()
            near.ingest.shutdown.requested.set()
            problem = await refused(rest(watching))
        assert problem.reason == "ERROR_REASON_DRAINING"


async def test_a_participant_who_is_introduced_shows_at_once(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            watching = asyncio.create_task(
                watched(near.ingest.user, meeting_id, until=lambda event: event.HasField("participant"))
            )
            track = pb.TrackStart(track=1, participant_id="anna", display_name="Anna", start_sample=32_000)
            await call.write(pb.StreamAudioRequest(sequence=1, track=track))
            participant = (await watching)[-1].participant
            assert (participant.display_name, participant.basis, participant.joined_ms) == ("Anna", "guess", 2_000)
