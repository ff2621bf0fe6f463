"""Live insights over the real stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from agent.common.v1 import transcript_pb2
from agent.ops.v1 import ops_service_pb2, ops_service_pb2_grpc
from agent.report.v1 import report_service_pb2 as pb
from kit.rpc.calls import held
from kit.rpc.status import error_of
from tests.integration.report.running import (
    SECONDS,
    RunningReport,
    finals,
    hold_meeting,
    order_build,
    ready_report,
    running_report,
)
from tests.unit.report.interview import ENGLISH


@dataclass(slots=True)
class Follower:
    """The client's end of one stream."""

    call: Any
    received: list[pb.FollowTranscriptResponse] = field(default_factory=list)

    async def send(self, **message: Any) -> None:
        """Send one message: `send(end=pb.FollowEnd())`."""
        await self.call.write(pb.FollowTranscriptRequest(**message))

    async def until(self, wanted: Callable[[pb.FollowTranscriptResponse], bool]) -> pb.FollowTranscriptResponse:
        """Read until a message is the wanted one."""
        async with asyncio.timeout(SECONDS):
            while (message := await self.call.read()) is not grpc.aio.EOF:
                self.received.append(message)
                if wanted(message):
                    return self.received[-1]
        raise AssertionError(f"the stream ended with {await self.call.code()} before the message came")

    async def rest(self) -> None:
        """Read to the end."""
        async with asyncio.timeout(SECONDS):
            while (message := await self.call.read()) is not grpc.aio.EOF:
                self.received.append(message)

    @property
    def questions(self) -> list[str]:
        """Questions received."""
        return [one.insight.question.text for one in self.received if one.insight.HasField("question")]

    @property
    def actions(self) -> list[str]:
        """Actions received."""
        return [one.insight.action.claim.text for one in self.received if one.insight.HasField("action")]


@asynccontextmanager
async def following(room: RunningReport, meeting_id: str) -> AsyncIterator[Follower]:
    """Open a stream; wait until it is opened."""
    with held(room.service.FollowTranscript()) as call:
        follower = Follower(call)
        await follower.send(open=pb.FollowOpen(meeting_id=meeting_id, title="Interview", language="en"))
        await follower.until(lambda message: message.HasField("opened"))
        yield follower


async def test_finals_turn_into_insights(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database, (), state="live")
        async with following(room, meeting_id) as follower:
            assert follower.received[0].opened.last_ordinal == 0
            for final in finals(meeting_id, ENGLISH):
                await follower.send(segment=final)
            await follower.send(end=pb.FollowEnd())
            await follower.rest()
            assert await follower.call.code() is grpc.StatusCode.OK
    assert follower.questions == [
        "What was the hard problem?",
        "Can you review the budget on Monday?",
        "Who will fix the budget?",
    ]
    assert "I will send the report tomorrow." in follower.actions
    sent = next(one.insight.action for one in follower.received if "send the report" in one.insight.action.claim.text)
    assert (sent.owner, sent.due_date) == ("Ben", "2026-11-19")
    assert sent.claim.evidence[0].quote == "I will send the report tomorrow."
    last = follower.received[-1].insight.talk
    assert [speaker.speaker for speaker in last.speakers] == ["Ann", "Ben"]
    assert sum(speaker.questions for speaker in last.speakers) == 3


async def test_talk_is_told_while_people_speak(tmp_path: Path) -> None:
    async with running_report(tmp_path, talk_interval_seconds=0.01) as room:
        meeting_id = await hold_meeting(room.database, (), state="live")
        async with following(room, meeting_id) as follower:
            first, second, *_ = finals(meeting_id, ENGLISH)
            await follower.send(segment=first)
            await follower.until(lambda message: message.insight.talk.duration_ms == first.end_ms)
            await follower.send(segment=second)
            await follower.until(lambda message: message.insight.talk.duration_ms == second.end_ms)


async def test_a_new_follower_hears_what_was_settled_before_and_nothing_twice(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database, ENGLISH[:4], state="live")
        async with following(room, meeting_id) as follower:
            assert follower.received[0].opened.last_ordinal == 4
            for final in finals(meeting_id, ENGLISH):
                await follower.send(segment=final)
            await follower.send(end=pb.FollowEnd())
            await follower.rest()
    assert len(follower.questions) == len(set(follower.questions)) == 3


async def test_live_claims_are_the_reports_claims(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database)
        async with following(room, meeting_id) as follower:
            await follower.send(end=pb.FollowEnd())
            await follower.rest()
        await order_build(room.database, meeting_id)
        report = await ready_report(room.user, meeting_id)
    live = {one.insight.question.claim_id for one in follower.received if one.insight.HasField("question")}
    assert live == {one.question.claim_id for one in report.questions}


async def test_followers_are_sent_elsewhere_when_the_room_stops(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database, (), state="live")
        async with following(room, meeting_id) as follower:
            room.shutdown.requested.set()
            drained = await follower.until(lambda message: message.HasField("drain"))
            assert drained.drain.reason == "shutting down"
            await follower.rest()
            assert await follower.call.code() is grpc.StatusCode.OK


async def test_a_stream_begins_with_open(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        for message, got in ((pb.FollowTranscriptRequest(end=pb.FollowEnd()), "end"), (None, "nothing")):
            with held(room.service.FollowTranscript()) as call:
                await call.write(message or pb.FollowTranscriptRequest())
                problem = await failure(call)
            assert problem.reason == "ERROR_REASON_STREAM_PROTOCOL"
            assert dict(problem.metadata) == {"expected": "open", "got": got}


async def test_a_second_open_and_another_meetings_final_are_refused(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database, (), state="live")
        async with following(room, meeting_id) as follower:
            await follower.send(open=pb.FollowOpen(meeting_id=meeting_id))
            assert (await failure(follower.call)).reason == "ERROR_REASON_STREAM_PROTOCOL"
        async with following(room, meeting_id) as follower:
            await follower.send(segment=transcript_pb2.Segment(meeting_id="other", text="Hello."))
            assert (await failure(follower.call)).metadata["field"] == "segment.meeting_id"


async def test_only_rooms_follow(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        with held(room.user.FollowTranscript()) as call:
            assert (await failure(call)).reason == "ERROR_REASON_PERMISSION_DENIED"
        with held(room.service.FollowTranscript()) as call:
            await call.write(pb.FollowTranscriptRequest(open=pb.FollowOpen(meeting_id="nowhere")))
            assert (await failure(call)).reason == "ERROR_REASON_MEETING_NOT_FOUND"


async def test_operators_see_the_queue(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        stub: Any = ops_service_pb2_grpc.OpsServiceStub(room.channel)
        queues = await stub.ListQueues(ops_service_pb2.ListQueuesRequest())
    assert [(one.queue, one.dead) for one in queues.queues] == [("report", 0)]


async def failure(call: Any) -> Any:
    """Read until the stream fails, and return how."""
    try:
        async with asyncio.timeout(SECONDS):
            while await call.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return error_of(error)
    raise AssertionError("the stream ended without failing")
