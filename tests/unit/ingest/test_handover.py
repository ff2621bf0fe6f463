"""A session that was handed over: what a client was told by one owner stays true for every owner to come."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.common.v1 import audio_pb2 as audio
from agent.ingest.v1 import audio_service_pb2 as pb
from services.ingest.errors import Fenced
from services.ingest.intake.session import MeetingKey, Session, SessionLimits
from services.ingest.journal.fence import Fence

KEY = MeetingKey("default", "m")


def take_up(directory: Path) -> Session:
    return Session.open(KEY, "s", Fence.take(directory), SessionLimits())


@asynccontextmanager
async def committing(session: Session) -> AsyncIterator[None]:
    task = asyncio.create_task(session.journal.commit_forever(0.001))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def begin(session: Session) -> None:
    session.attach(pb.SessionOpen(meeting_id="m", session_id="s", epoch=1), object())
    track = pb.TrackStart(track=1, participant_id="anna", basis=audio.SPEAKER_BASIS_OWN_TRACK)
    session.accept(pb.StreamAudioRequest(sequence=1, track=track))


async def test_the_end_that_a_client_was_told_of_outlives_an_older_owner_that_wakes_up(tmp_path: Path) -> None:
    first = take_up(tmp_path)
    async with committing(first):
        begin(first)
        await first.settled()
        second = take_up(tmp_path)  # and is frozen before it writes
        # The first owner, cut off by now, writes on; nothing of it is acknowledged.
        first.accept(pb.StreamAudioRequest(sequence=2, end=pb.SessionEnd(end_sample=0)))
        with pytest.raises(Fenced):
            await first.settled()
    third = take_up(tmp_path)
    assert third.ended
    assert third.next_sequence == 3
    async with committing(third):
        await third.confirmed()  # the client hears: everything is there
    async with committing(second):  # wakes up, goes on from where it read, and is found out
        second.attach(pb.SessionOpen(meeting_id="m", session_id="s", epoch=2), object())
        with pytest.raises(Fenced):
            await second.settled()
    fourth = take_up(tmp_path)
    assert fourth.ended
    assert fourth.next_sequence == 3
    for session in (first, second, third, fourth):
        session.journal.close()
