"""MeetingService: made once, listed in pages, finished in order, read with everything that belongs to them."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from agent.ingest.v1 import meeting_service_pb2 as mpb
from agent.ops.v1 import ops_service_pb2 as ops
from kit.rpc.calls import held
from kit.rpc.status import error_of
from services.ingest.settings import MeetingSettings
from store.models import artifacts, meetings, reports
from tests.fakes.connector_server import Connector, serving_connector
from tests.fakes.stt_server import Speech, serving_speech
from tests.integration.ingest.running import (
    SECONDS,
    Script,
    connected,
    finished,
    heard,
    interview,
    refused,
    rest,
    running_ingest,
    segments,
    send,
    serving_ingest,
    spoken,
    start_meeting,
    talk,
    until_durable,
)
from tests.kit_server import eventually
from tests.postgres import whole


async def refusal(awaitable: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    problem = await refused(awaitable)
    return problem.code, problem.reason


async def test_the_same_request_makes_one_meeting_and_another_is_refused(database_url: str, tmp_path: Path) -> None:
    context = Struct()
    context.update({"candidate": "Anna", "round": 2})
    async with serving_ingest(database_url, tmp_path) as ingest:
        request = mpb.StartMeetingRequest(title="Interview", context=context, language="RU", request_id="r-1")
        answers = await asyncio.gather(*(ingest.user.meetings.StartMeeting(request) for _ in range(4)))
        assert len({answer.meeting_id for answer in answers}) == 1
        meeting = answers[0].meeting
        assert (meeting.state, meeting.mode, meeting.language, meeting.report_state) == (
            "scheduled",
            "realtime",
            "ru",
            "none",
        )
        assert dict(meeting.context) == {"candidate": "Anna", "round": 2}
        request.title = "Another"
        assert await refusal(ingest.user.meetings.StartMeeting(request)) == (
            grpc.StatusCode.ALREADY_EXISTS,
            "ERROR_REASON_REQUEST_ID_REUSED",
        )


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "telepathy"},
        {"title": "x" * 201},
        {"language": "not a language"},
        {"provider": "Room!"},
        {"request_id": "x" * 129},
        {"context": {"quick_recording": {"text": False}}},
    ],
)
async def test_a_wrong_field_is_named(database_url: str, tmp_path: Path, fields: dict[str, Any]) -> None:
    async with serving_ingest(database_url, tmp_path) as ingest:
        problem = await refused(ingest.user.meetings.StartMeeting(mpb.StartMeetingRequest(**fields)))
        assert problem.metadata == {"field": next(iter(fields))}


async def test_pages_show_every_meeting_once_newest_first(database_url: str, tmp_path: Path) -> None:
    async with serving_ingest(database_url, tmp_path) as ingest:
        made = [await start_meeting(ingest.user) for _ in range(7)]
        await ingest.service.meetings.StartMeeting(
            mpb.StartMeetingRequest(), metadata=(("x-tenant-id", "another-tenant"),)
        )
        found, token, pages = [], "", 0
        while token or not pages:
            request = mpb.ListMeetingsRequest(page_size=3, page_token=token)
            page = await ingest.user.meetings.ListMeetings(request)
            found += [meeting.meeting_id for meeting in page.meetings]
            token, pages = page.next_page_token, pages + 1
        assert found == made[::-1]
        assert pages == 3
        request = mpb.ListMeetingsRequest(page_size=3)
        token = (await ingest.user.meetings.ListMeetings(request)).next_page_token
        for wrong in (
            mpb.ListMeetingsRequest(page_token="nonsense"),
            mpb.ListMeetingsRequest(page_token=token, state="live"),
        ):
            assert (await refusal(ingest.user.meetings.ListMeetings(wrong)))[1] == "ERROR_REASON_INVALID_PAGE_TOKEN"
        for wrong in (mpb.ListMeetingsRequest(page_size=101), mpb.ListMeetingsRequest(state="odd")):
            assert (await refusal(ingest.user.meetings.ListMeetings(wrong)))[1] == "ERROR_REASON_INVALID_FIELD"
        request = mpb.ListMeetingsRequest(state="finished")
        assert not (await ingest.user.meetings.ListMeetings(request)).meetings


async def test_the_recorder_joins_when_asked_and_leaves_at_the_end(database_url: str, tmp_path: Path) -> None:
    connector = Connector()
    async with (
        serving_connector(connector) as port,
        serving_ingest(database_url, tmp_path, connector_port=port) as ingest,
    ):
        request = mpb.StartMeetingRequest(
            auto_join_connector=True, meeting_url="https://example.org/call", language="en"
        )
        answer = await ingest.user.meetings.StartMeeting(request)
        assert (answer.connector_auto_join, answer.connector_provider) == (True, "room")
        assert (answer.connector_connected, answer.connector_error) == (True, "")
        (join,) = connector.joins
        assert (join.meeting_id, join.provider, join.meeting_url, join.language) == (
            answer.meeting_id,
            "room",
            "https://example.org/call",
            "en",
        )
        assert connector.tenants == {"default"}
        answer = await ingest.user.meetings.FinishMeeting(mpb.FinishMeetingRequest(meeting_id=answer.meeting_id))
        assert connector.leaves == [answer.meeting.meeting_id]
        assert (answer.meeting.state, answer.meeting.report_state, answer.meeting.duration_ms) == (
            "finished",
            "queued",
            0,
        )
        connector.refuses = True
        answer = await ingest.user.meetings.StartMeeting(request)
        assert (answer.connector_connected, answer.connector_error) == (False, "the room is locked")


async def test_nobody_joins_unless_asked_or_set(database_url: str, tmp_path: Path) -> None:
    connector = Connector()
    joining = MeetingSettings(auto_join_on_start=True, connector_provider="sberjazz")
    async with serving_connector(connector) as port:
        async with serving_ingest(database_url, tmp_path, connector_port=port) as ingest:
            answer = await ingest.user.meetings.StartMeeting(mpb.StartMeetingRequest())
            assert (answer.connector_auto_join, answer.connector_provider) == (False, "")
        async with serving_ingest(database_url, tmp_path, connector_port=port, meeting=joining) as ingest:
            for request in (mpb.StartMeetingRequest(mode="upload"), mpb.StartMeetingRequest(auto_join_connector=False)):
                assert not (await ingest.user.meetings.StartMeeting(request)).connector_auto_join
            assert not connector.joins
            answer = await ingest.user.meetings.StartMeeting(mpb.StartMeetingRequest())
            assert answer.connector_provider == connector.joins[0].provider == "sberjazz"


async def test_a_connector_that_is_away_is_told_and_the_meeting_is_there(database_url: str, tmp_path: Path) -> None:
    async with serving_ingest(database_url, tmp_path) as ingest:
        request = mpb.StartMeetingRequest(auto_join_connector=True)
        answer = await ingest.user.meetings.StartMeeting(request)
        assert not answer.connector_connected
        assert answer.connector_error
        assert (await ingest.user.meetings.GetMeeting(mpb.GetMeetingRequest(meeting_id=answer.meeting_id))).meeting


async def test_finishing_ends_sessions_whose_clients_do_not(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path, finish_grace_seconds=0.3) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = Script()
        script.track(1, "anna")
        script.say(1, talk(3, seed=8))
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            for request in script.requests:
                await call.write(request)
            await until_durable(call, len(script.requests))
            finish = mpb.FinishMeetingRequest(meeting_id=meeting_id)
            answer = await near.ingest.user.meetings.FinishMeeting(finish)
            assert answer.meeting.state == "finishing"
            await rest(call)
        await finished(near.ingest.user, meeting_id)
        assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)
        answer = await near.ingest.user.meetings.FinishMeeting(finish)
        assert answer.meeting.state == "finished"


async def test_two_sessions_make_one_meeting_and_it_ends_with_the_last(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        first, second = Script(), Script()
        first.track(1, "anna")
        first.say(1, talk(2, seed=1))
        first.leave(1)
        first.end()
        second.track(1, "anna", start=40_000)
        second.say(1, talk(2, seed=2))
        second.leave(1)
        second.end()
        async with connected(near.ingest.user, meeting_id, "second") as (call, _):
            await send(near.ingest.user, meeting_id, first.requests, "first")
            for request in second.requests:
                await call.write(request)
            await until_durable(call, len(second.requests))
        await finished(near.ingest.user, meeting_id)
        texts = spoken(first)["anna"] + spoken(second)["anna"]
        assert heard(await segments(near.ingest.user, meeting_id)) == {"anna": texts}
        coverage = await near.ingest.user.meetings.GetCoverage(mpb.GetCoverageRequest(meeting_id=meeting_id))
        (anna,) = coverage.participants
        assert anna.absent_ms == (40_000 - 24_000) // 16
        assert coverage.duration_ms == 64_000 // 16


async def test_what_the_report_room_made_is_shown_with_the_meeting(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        await send(near.ingest.user, meeting_id, interview(utterances=1).requests)
        meeting = await finished(near.ingest.user, meeting_id)
        assert meeting.raw_transcript.count("\n") == 1
        assert not meeting.HasField("report")
        await near.ingest.blobs.put(f"meetings/{meeting_id}/clean.txt", "Чистый текст".encode())
        key = {"meeting_id": meeting_id, "tenant_id": "default", "revision": 1}
        async with whole(near.ingest.database).begin() as connection:
            await connection.execute(
                artifacts.insert().values(
                    **key,
                    kind="clean",
                    format="txt",
                    content_type="text/plain",
                    blob_key=f"meetings/{meeting_id}/clean.txt",
                    bytes=1,
                )
            )
            body = {"schemaVersion": "1", "meetingId": meeting_id, "headline": "Two people spoke."}
            await connection.execute(reports.insert().values(**key, body=body, transcript_sha256=""))
            await connection.execute(meetings.update().values(report_state="ready"))
        meeting = await finished(near.ingest.user, meeting_id)
        assert meeting.enhanced_transcript == "Чистый текст"
        assert (meeting.report.headline, meeting.report_state) == ("Two people spoke.", "ready")
        listed = (await near.ingest.user.meetings.ListMeetings(mpb.ListMeetingsRequest())).meetings[0]
        assert (listed.segments, len(listed.participants), listed.raw_transcript) == (2, 2, "")


async def test_a_language_that_is_stated_is_passed_on_and_one_the_engine_lacks_is_not_fatal(
    database_url: str, tmp_path: Path
) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user, language="ru")
        script = Script()
        script.track(1, "anna", language="en")
        script.track(2, "boris")
        script.track(3, "cecil", language="tlh")
        for number in (1, 2, 3):
            script.say(number, talk(1, seed=number))
        script.end()
        await send(near.ingest.user, meeting_id, script.requests)
        await finished(near.ingest.user, meeting_id)
        assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)
        asked = sorted(opening.language for opening in near.speech.opens)
        assert asked == ["", "en", "ru", "tlh"]


async def test_operators_see_the_meeting_live(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(seed=9, utterances=6)
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            for request in script.requests[:40]:
                await call.write(request)
            await until_durable(call, 40)
            live: Any = None

            async def shown() -> bool:
                nonlocal live
                with held(near.ingest.service.ops.Watch(ops.WatchRequest())) as watching:
                    snapshot = await watching.read()
                live = next(iter(snapshot.sessions), None)
                return live is not None and live.words > 0

            await eventually(shown, seconds=SECONDS)
            assert (live.meeting_id, live.title, live.tracks) == (meeting_id, "Interview", 2)
            assert live.state in ("LIVE", "STALLED")
            readiness = await near.ingest.service.ops.GetReadiness(ops.GetReadinessRequest())
            assert readiness.ready
            assert [check.name for check in readiness.checks] == [
                "database",
                "journal disk",
                "storage",
                "speech recognition",
            ]


async def test_a_meeting_is_finished_from_its_journals_when_the_node_that_has_them_is_back(
    database_url: str, tmp_path: Path
) -> None:
    script = interview(utterances=1)
    async with serving_ingest(database_url, tmp_path / "one") as ingest:
        meeting_id = await start_meeting(ingest.user)
        async with connected(ingest.user, meeting_id, "s") as (call, _):
            for request in script.requests[:-3]:
                await call.write(request)
            await until_durable(call, len(script.requests) - 3)
    speech = Speech()
    async with serving_speech(speech) as stt_port:
        async with serving_ingest(database_url, tmp_path / "other", stt_port=stt_port) as ingest:
            answer = await ingest.user.meetings.FinishMeeting(mpb.FinishMeetingRequest(meeting_id=meeting_id))
            assert answer.meeting.state == "finishing"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async with connected(ingest.user, meeting_id, "s", epoch=2):
                    pass
            assert error_of(caught.value).reason == "ERROR_REASON_MEETING_ELSEWHERE"
        async with serving_ingest(
            database_url, tmp_path / "one", stt_port=stt_port, finish_grace_seconds=0.1
        ) as ingest:
            await finished(ingest.user, meeting_id)
            assert heard(await segments(ingest.user, meeting_id)) == spoken(script)
