"""StreamAudio: acknowledged means on disk; duplicates are dropped, holes refused, older connections fenced."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from sqlalchemy import select

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import audio_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2 as mpb
from kit.rpc.status import error_of
from store.models import meetings
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
    spoken,
    start_meeting,
    talk,
    until_durable,
)
from tests.postgres import whole


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Return code, reason and metadata of the status that a stream ends with."""
    problem = await refused(rest(call))
    return problem.code, problem.reason, dict(problem.metadata)


async def test_a_session_becomes_text_and_an_account_and_a_job(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview()
        await send(near.ingest.user, meeting_id, script.requests)
        meeting = await finished(near.ingest.user, meeting_id)
        found = await segments(near.ingest.user, meeting_id)

        assert heard(found) == spoken(script)
        assert [segment.ordinal for segment in found] == list(range(1, len(found) + 1))
        assert all(segment.words and segment.engine == "scripted" for segment in found)
        assert (meeting.report_state, meeting.segments) == ("queued", len(found))
        assert meeting.duration_ms == max(script.positions.values()) // 16
        assert {one.participant_id: (one.joined_ms, one.left_ms) for one in meeting.participants} == {
            "anna": (0, meeting.duration_ms),
            "boris": (0, meeting.duration_ms),
        }
        coverage = await near.ingest.user.meetings.GetCoverage(mpb.GetCoverageRequest(meeting_id=meeting_id))
        for one in coverage.participants:
            kinds = one.coverage_ms
            assert kinds.transcribed == {"anna": 6 * 500, "boris": 6 * 500 - 125}[one.participant_id]
            assert kinds.lost == kinds.pending == kinds.concealed == 0
            assert kinds.transcribed + kinds.silent + one.absent_ms == coverage.duration_ms == meeting.duration_ms
        assert near.report.tenants == {"default"}


async def test_everything_that_recognition_was_billed_is_kept_with_the_meeting(
    database_url: str, tmp_path: Path
) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        near.speech.final_usd, near.speech.finished_usd = 0.01, 0.002
        meeting_id = await start_meeting(near.ingest.user)
        await send(near.ingest.user, meeting_id, interview().requests)
        await finished(near.ingest.user, meeting_id)
        finals, tracks = len(await segments(near.ingest.user, meeting_id)), 2
        async with whole(near.ingest.database).connect() as connection:
            bill = await connection.scalar(select(meetings.c.speech_cost_usd).where(meetings.c.id == meeting_id))
    assert bill == pytest.approx(finals * 0.01 + tracks * 0.002)


async def test_a_repeated_message_is_dropped_and_a_skipped_one_refused(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview()
        async with connected(near.ingest.user, meeting_id, "s") as (call, opened):
            assert opened.next_sequence == 1
            for request in (*script.requests[:10], *script.requests[:10], *script.requests[10:20]):
                await call.write(request)
            await until_durable(call, 20)
            await call.write(script.requests[22])
            assert await refusal(call) == (
                grpc.StatusCode.OUT_OF_RANGE,
                "ERROR_REASON_SEQUENCE_GAP",
                {"from": "21", "to": "22"},
            )
        async with connected(near.ingest.user, meeting_id, "s", epoch=2) as (call, opened):
            assert opened.next_sequence == 21
            for request in script.requests[20:]:
                await call.write(request)
            await until_durable(call, len(script.requests))
        await finished(near.ingest.user, meeting_id)
        assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)


def frame(track: int, start: int, samples: int, sequence: int) -> pb.StreamAudioRequest:
    audio = pb.AudioFrame(track=track, start_sample=start, pcm=bytes(2 * samples), kind=audio_pb2.AUDIO_KIND_OK)
    return pb.StreamAudioRequest(sequence=sequence, audio=audio)


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (frame(1, 1_600, 100, 3), grpc.StatusCode.OUT_OF_RANGE, "ERROR_REASON_SAMPLE_GAP"),
        (frame(1, 0, 100, 3), grpc.StatusCode.OUT_OF_RANGE, "ERROR_REASON_SAMPLE_GAP"),
        (frame(2, 0, 100, 3), grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_TRACK_UNKNOWN"),
        (frame(1, 800, 16_385, 3), grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_TOO_LARGE"),
        (frame(1, 800, 0, 3), grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_INVALID_FIELD"),
        (pb.StreamAudioRequest(sequence=3), grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_STREAM_PROTOCOL"),
        (
            pb.StreamAudioRequest(sequence=3, open=pb.SessionOpen()),
            grpc.StatusCode.INVALID_ARGUMENT,
            "ERROR_REASON_STREAM_PROTOCOL",
        ),
        (
            pb.StreamAudioRequest(sequence=3, gap=pb.AudioGap(track=1, start_sample=800, end_sample=800)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "ERROR_REASON_INVALID_FIELD",
        ),
        (
            pb.StreamAudioRequest(sequence=3, gap=pb.AudioGap(track=1, start_sample=800, end_sample=2**62)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "ERROR_REASON_INVALID_FIELD",
        ),
        (
            pb.StreamAudioRequest(sequence=3, track=pb.TrackStart(track=1, participant_id="boris")),
            grpc.StatusCode.INVALID_ARGUMENT,
            "ERROR_REASON_STREAM_PROTOCOL",
        ),
    ],
)
async def test_what_breaks_the_contract_is_refused_and_nothing_of_it_is_kept(
    database_url: str, tmp_path: Path, request_: pb.StreamAudioRequest, code: grpc.StatusCode, reason: str
) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            track = pb.TrackStart(track=1, participant_id="anna")
            await call.write(pb.StreamAudioRequest(sequence=1, track=track))
            await call.write(frame(1, 0, 800, 2))
            await until_durable(call, 2)
            await call.write(request_)
            assert (await refusal(call))[:2] == (code, reason)
        async with connected(near.ingest.user, meeting_id, "s", epoch=2) as (_, opened):
            assert opened.next_sequence == 3


async def test_open_comes_first(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        call = near.ingest.user.audio.StreamAudio()
        await call.write(frame(1, 0, 100, 1))
        assert await refusal(call) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "ERROR_REASON_STREAM_PROTOCOL",
            {"expected": "open", "got": "audio"},
        )


@pytest.mark.parametrize("session_id", ["", "../escape", "a/b", ".hidden", "chunks", "x" * 65])
async def test_a_session_id_that_is_no_name_is_refused(database_url: str, tmp_path: Path, session_id: str) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with connected(near.ingest.user, meeting_id, session_id):
                pass
        problem = error_of(caught.value)
        assert (problem.code, problem.metadata) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            {"field": "open.session_id"},
        )


async def test_another_tenants_meeting_is_not_there(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        call = near.ingest.service.audio.StreamAudio(metadata=(("x-tenant-id", "other"),))
        await call.write(pb.StreamAudioRequest(open=pb.SessionOpen(meeting_id=meeting_id, session_id="s", epoch=1)))
        assert (await refusal(call))[:2] == (grpc.StatusCode.NOT_FOUND, "ERROR_REASON_MEETING_NOT_FOUND")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await near.ingest.service.meetings.GetMeeting(
                mpb.GetMeetingRequest(meeting_id=meeting_id), metadata=(("x-tenant-id", "other"),)
            )
        assert error_of(caught.value).reason == "ERROR_REASON_MEETING_NOT_FOUND"


async def test_a_newer_connection_fences_the_older_and_an_older_is_refused(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        async with (
            connected(near.ingest.user, meeting_id, "s", epoch=2) as (older, _),
            connected(near.ingest.user, meeting_id, "s", epoch=3) as (newer, _),
        ):
            assert await refusal(older) == (
                grpc.StatusCode.ABORTED,
                "ERROR_REASON_EPOCH_FENCED",
                {"epoch": "2", "current": "3"},
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async with connected(near.ingest.user, meeting_id, "s", epoch=1):
                    pass
            assert error_of(caught.value).reason == "ERROR_REASON_EPOCH_FENCED"
            await newer.write(pb.StreamAudioRequest(sequence=1, track=pb.TrackStart(track=1, participant_id="anna")))
            await until_durable(newer, 1)


async def test_a_closed_stream_is_lost_and_the_session_is_finished_from_the_journal_in_time(
    database_url: str, tmp_path: Path
) -> None:
    async with running_ingest(database_url, tmp_path, session_timeout_seconds=0.5) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = Script()
        script.track(1, "anna")
        script.say(1, talk(3, seed=5))
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            for request in script.requests:
                await call.write(request)
            await until_durable(call, len(script.requests))
            await call.done_writing()
        meeting = await finished(near.ingest.user, meeting_id)
        assert meeting.duration_ms == script.positions[1] // 16
        assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)


async def test_a_finished_session_is_told_again_and_takes_no_more(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(utterances=1)
        await send(near.ingest.user, meeting_id, script.requests)
        await finished(near.ingest.user, meeting_id)
        async with connected(near.ingest.user, meeting_id, "s", epoch=2) as (call, opened):
            assert opened.next_sequence == len(script.requests) + 1
            await call.write(frame(1, 0, 100, len(script.requests) + 1))
            assert (await refusal(call))[:2] == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "ERROR_REASON_MEETING_FINISHED",
            )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with connected(near.ingest.user, meeting_id, "another"):
                pass
        assert error_of(caught.value).reason == "ERROR_REASON_MEETING_FINISHED"


async def test_a_full_disk_refuses_new_sessions_and_keeps_the_running_ones(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(utterances=1)
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            monkeypatch.setattr("services.ingest.live.meeting.free_megabytes", lambda directory: 0.5)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async with connected(near.ingest.user, meeting_id, "another"):
                    pass
            problem = error_of(caught.value)
            assert (problem.code, problem.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_DISK_FULL")
            for request in script.requests:
                await call.write(request)
            await until_durable(call, len(script.requests))
        await finished(near.ingest.user, meeting_id)


async def test_a_fast_client_is_slowed_down_and_loses_nothing(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path, window=16, commit_interval_seconds=0.01) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(utterances=12)
        await send(near.ingest.user, meeting_id, script.requests)
        await finished(near.ingest.user, meeting_id)
        assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)


async def test_streams_are_asked_to_go_elsewhere_when_the_server_stops(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            near.ingest.shutdown.requested.set()
            async with asyncio.timeout(SECONDS):
                response = await call.read()
            assert response.drain.reason == "shutting down"
            track = pb.TrackStart(track=1, participant_id="anna")
            await call.write(pb.StreamAudioRequest(sequence=1, track=track))
            await until_durable(call, 1)


async def test_every_kind_of_span_is_accounted_for(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = Script()
        script.track(1, "anna", start=1_000)
        script.say(1, talk(1, seed=3, spoken=16_000, pause=4_000))
        script.say(1, np.zeros(3_203, np.int16), audio_pb2.AUDIO_KIND_FILL)
        script.gap(1, 16_001, audio_pb2.GAP_REASON_MUTED)
        script.say(1, np.ones(1_599, np.int16), audio_pb2.AUDIO_KIND_PLC)
        script.gap(1, 7_777, audio_pb2.GAP_REASON_NO_PACKETS)
        script.say(1, np.ones(4_801, np.int16), audio_pb2.AUDIO_KIND_FEC)
        script.leave(1)
        script.add(end=pb.SessionEnd(end_sample=script.positions[1] + 16_005))
        await send(near.ingest.user, meeting_id, script.requests)
        await finished(near.ingest.user, meeting_id)
        coverage = await near.ingest.user.meetings.GetCoverage(mpb.GetCoverageRequest(meeting_id=meeting_id))
        (anna,) = coverage.participants
        kinds = anna.coverage_ms
        assert (kinds.muted, kinds.concealed, kinds.lost) == (1_000, 100, 486)
        assert kinds.transcribed == 1_000 + 300
        assert kinds.silent == 250 + 200
        assert kinds.pending == 0
        total = sum((kinds.transcribed, kinds.silent, kinds.muted, kinds.concealed, kinds.lost, anna.absent_ms))
        assert total == coverage.duration_ms
        assert sum(each.end_ms - each.start_ms for each in anna.intervals) + anna.absent_ms == coverage.duration_ms
