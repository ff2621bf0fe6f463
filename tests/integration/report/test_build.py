"""From an ended meeting to a report and files that its people can fetch."""

from pathlib import Path

from google.protobuf import json_format
from sqlalchemy import delete, func, select, update

from agent.common.v1 import report_pb2
from agent.report.v1 import report_service_pb2 as pb
from kit.queue.queue import get_job
from services.report.artifacts import KINDS
from store.models import artifacts, meetings, reports
from tests.integration.report.running import hold_meeting, order_build, problem_of, ready_report, running_report
from tests.kit_server import eventually
from tests.postgres import whole
from tests.unit.report.interview import ENGLISH, RUSSIAN


async def test_a_finished_meeting_gets_its_report(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        report = await ready_report(room.user, meeting_id)
    assert report.headline == "40 s, 2 speakers, Ben spoke 56 %, 3 questions, 3 commitments, 2 requests"
    assert report.mode == "interview"
    assert report.provenance.speech_engines == ["demo/tiny-whisper"]
    assert [one.coverage_ms.transcribed for one in report.coverage] == [24_000, 24_000]
    texts = {f"{meeting_id}-s{index}": text for index, (_, text) in enumerate(ENGLISH)}
    claims = [*report.key_moments, *(one.question for one in report.questions), *(one.claim for one in report.actions)]
    assert claims
    for claim in claims:
        for quote in claim.evidence:
            assert texts[quote.segment_id][quote.char_start : quote.char_end] == quote.quote


async def test_the_bill_of_a_meeting_is_in_its_report(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database)
        async with whole(room.database).begin() as connection:
            await connection.execute(update(meetings).values(speech_cost_usd=0.42))
        await order_build(room.database, meeting_id)
        report = await ready_report(room.user, meeting_id)
        text = (await room.user.GetReportText(pb.GetReportTextRequest(meeting_id=meeting_id))).body
    assert report.provenance.speech_cost_usd == 0.42
    assert "Recognition: 0.42 USD, demo/tiny-whisper." in text.data.decode()


async def test_due_dates_count_from_the_day_where_the_meeting_was_held(tmp_path: Path) -> None:
    async with running_report(tmp_path, time_zone="Pacific/Kiritimati") as room:
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        report = await ready_report(room.user, meeting_id)
    assert [one.due_date for one in report.actions if one.due_text == "tomorrow"] == ["2026-11-20"]


async def test_every_artifact_can_be_fetched(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database, RUSSIAN)
        await order_build(room.database, meeting_id)
        report = await ready_report(room.user, meeting_id)
        listed = await room.user.ListArtifacts(pb.ListArtifactsRequest(meeting_id=meeting_id))
        assert {(one.kind, one.fmt) for one in listed.artifacts} == {(k, fmt) for k in KINDS for fmt in KINDS[k]}
        for one in listed.artifacts:
            request = pb.GetArtifactRequest(meeting_id=meeting_id, kind=one.kind, fmt=one.fmt)
            body = (await room.user.GetArtifact(request)).body
            assert len(body.data) == one.size_bytes
            assert body.content_type == one.content_type
            if (one.kind, one.fmt) == ("report", "json"):
                assert json_format.Parse(body.data, report_pb2.Report()) == report
        plain = await room.user.GetArtifact(pb.GetArtifactRequest(meeting_id=meeting_id, kind="raw"))
        assert "[00:20] Борис: Я отправлю отчёт завтра." in plain.body.data.decode()
        text = (await room.user.GetReportText(pb.GetReportTextRequest(meeting_id=meeting_id))).body
        assert text.content_type == "text/plain; charset=utf-8"
        assert "Учтена каждая секунда" in text.data.decode()


async def test_a_report_that_is_not_built_says_when_to_ask_again(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database, state="live")
        for call in (
            room.user.GetReport(pb.GetReportRequest(meeting_id=meeting_id)),
            room.user.GetReportText(pb.GetReportTextRequest(meeting_id=meeting_id)),
            room.user.ListArtifacts(pb.ListArtifactsRequest(meeting_id=meeting_id)),
            room.user.GetArtifact(pb.GetArtifactRequest(meeting_id=meeting_id, kind="raw")),
        ):
            problem = await problem_of(call)
            assert (problem.code.name, problem.reason) == ("FAILED_PRECONDITION", "ERROR_REASON_REPORT_NOT_READY")
            assert problem.retry_after_seconds == 2.0
            assert problem.metadata["meetingId"] == meeting_id


async def test_an_unknown_meeting_is_named(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        for rpc in ("GetReport", "GetReportText", "ListArtifacts", "RebuildReport", "RebuildArtifacts"):
            request = getattr(pb, f"{rpc}Request")(meeting_id="nowhere")
            problem = await problem_of(getattr(room.user, rpc)(request))
            assert (problem.code.name, problem.reason) == ("NOT_FOUND", "ERROR_REASON_MEETING_NOT_FOUND")
            assert problem.metadata["meetingId"] == "nowhere"


async def test_another_tenants_report_does_not_exist(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database, tenant_id="other")
        await order_build(room.database, meeting_id, tenant_id="other")
        report = await ready_report(room.service, meeting_id, metadata=(("x-tenant-id", "other"),))
        assert report.meeting_id == meeting_id
        problem = await problem_of(room.user.GetReport(pb.GetReportRequest(meeting_id=meeting_id)))
    assert problem.reason == "ERROR_REASON_MEETING_NOT_FOUND"


async def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        for kind, fmt, field in (("video", "txt", "kind"), ("report", "srt", "fmt")):
            request = pb.GetArtifactRequest(meeting_id="m", kind=kind, fmt=fmt)
            problem = await problem_of(room.user.GetArtifact(request))
            assert (problem.code.name, problem.metadata["field"]) == ("INVALID_ARGUMENT", field)


async def test_building_again_replaces_the_revision_and_keeps_older_ones(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        first = await ready_report(room.user, meeting_id)
        keys = {blob.key async for blob in room.blobs.list("tenants")}
        await room.user.RebuildReport(pb.RebuildReportRequest(meeting_id=meeting_id))

        async def rebuilt() -> bool:
            report = await ready_report(room.user, meeting_id)
            return report.provenance.create_time > first.provenance.create_time

        await eventually(rebuilt, 20.0)
        second = await ready_report(room.user, meeting_id)
        assert second.actions == first.actions

        async def swept() -> bool:
            left = {blob.key async for blob in room.blobs.list("tenants")}
            return len(left) == len(keys) and left != keys

        await eventually(swept, 20.0)  # the files that it replaces go, those of the same text stay
        async with whole(room.database).begin() as connection:
            await connection.execute(update(meetings).values(revision=2))
        await room.user.RebuildArtifacts(pb.RebuildArtifactsRequest(meeting_id=meeting_id))
        assert (await ready_report(room.user, meeting_id, revision=2)).revision == 2
        async with whole(room.database).connect() as connection:
            assert await connection.scalar(select(func.count()).select_from(reports)) == 2
            assert await connection.scalar(select(func.count()).select_from(artifacts)) == 26
            assert await connection.scalar(select(meetings.c.report_state)) == "ready"


async def test_the_same_request_gets_the_same_job(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id, other_id = await hold_meeting(room.database), await hold_meeting(room.database)
        request = pb.RebuildReportRequest(meeting_id=meeting_id, request_id="r-1")
        first = await room.user.RebuildReport(request)
        await ready_report(room.user, meeting_id)
        assert (await room.user.RebuildReport(request)).job_id == first.job_id
        problem = await problem_of(
            room.user.RebuildReport(pb.RebuildReportRequest(meeting_id=other_id, request_id="r-1"))
        )
    assert problem.reason == "ERROR_REASON_REQUEST_ID_REUSED"


async def test_a_running_meeting_is_not_built(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database, state="live")
        problem = await problem_of(room.user.RebuildReport(pb.RebuildReportRequest(meeting_id=meeting_id)))
    assert (problem.code.name, problem.metadata["state"]) == ("FAILED_PRECONDITION", "live")


async def test_a_deleted_meeting_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database)
        async with whole(room.database).begin() as connection:
            await connection.execute(delete(meetings))
        job_id = await order_build(room.database, meeting_id)

        async def done() -> bool:
            async with whole(room.database).connect() as connection:
                return (await get_job(connection, job_id)).state == "done"

        await eventually(done, 20.0)
        assert [blob.key async for blob in room.blobs.list("tenants")] == []
