"""The hub: who is slow loses levels first, and nobody looks how loud anybody is for those who do not look on."""

import asyncio

import pytest

from agent.common.v1 import transcript_pb2
from agent.ingest.v1 import meeting_service_pb2 as pb
from services.ingest.intake.session import MeetingKey
from services.ingest.watching.hub import FellBehind, Hub

KEY = MeetingKey("acme", "m")


def segment(ordinal: int) -> pb.WatchMeetingResponse:
    return pb.WatchMeetingResponse(segment=transcript_pb2.Segment(ordinal=ordinal))


def levels(level: int) -> pb.WatchMeetingResponse:
    told = pb.Levels(participants=[pb.ParticipantLevel(participant_id="anna", level=level)])
    return pb.WatchMeetingResponse(levels=told)


async def test_a_slow_watcher_gets_every_segment_and_only_the_newest_levels() -> None:
    hub = Hub(queue_size=2)
    with hub.subscribe(KEY) as slow:
        for level in range(1, 50):
            hub.publish(KEY, levels(level))
        for ordinal in (1, 2):
            hub.publish(KEY, segment(ordinal))
        assert [await slow.next() for _ in range(3)] == [segment(1), segment(2), levels(49)]
        for ordinal in (3, 4, 5):
            hub.publish(KEY, segment(ordinal))
        with pytest.raises(FellBehind):
            await slow.next()


async def test_only_those_who_look_on_are_told_levels() -> None:
    hub = Hub()
    with hub.subscribe(KEY, levels=False) as follower:
        assert hub.watched(KEY)
        waiting = asyncio.create_task(hub.looked_on(KEY))
        await asyncio.sleep(0)
        assert not waiting.done()
        with hub.subscribe(KEY):
            await waiting
            hub.publish(KEY, levels(3))
            hub.publish(KEY, segment(1))
            assert await follower.next() == segment(1)
        assert not hub.is_looked_on(KEY)
