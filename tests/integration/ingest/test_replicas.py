"""Whose a meeting is, and that nobody else's word counts: the register of replicas and the writes under a tenure."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from agent.ingest.v1 import audio_service_pb2 as pb
from kit.db.engine import Database, DatabaseUnavailable, open_database
from kit.db.tenancy import within
from services.ingest.errors import Fenced, MeetingElsewhere, MeetingNotFound
from services.ingest.intake.session import MeetingKey, Session, SessionLimits
from services.ingest.intake.track import Track
from services.ingest.journal.fence import Fence
from services.ingest.live.repository import LiveRepository
from services.ingest.replicas.replica import Replicas, open_replicas
from services.ingest.replicas.repository import ReplicaRepository
from services.ingest.repository import IngestRepository, is_meeting, lock_meeting
from services.ingest.rows import Finish, NewMeeting, NewSegment, Tenure
from store.models import audio_sessions, meetings, segments, tracks
from tests.integration.ingest.running import (
    SECONDS,
    Script,
    connected,
    finished,
    running_ingest,
    start_meeting,
    talk,
    until_durable,
)
from tests.kit_server import eventually
from tests.postgres import whole

KEY = MeetingKey("default", "m")
WHEN = datetime(2026, 11, 21, tzinfo=UTC)


@asynccontextmanager
async def meeting(url: str) -> AsyncIterator[Database]:
    """A database with one meeting."""
    new = NewMeeting("m", "default", "Interview", "realtime", "", "", "", {}, "", "tests")
    async with open_database(url, room="tests") as database:
        with within("default"):
            await IngestRepository(database).create_meeting(new)
            yield database


@asynccontextmanager
async def replica(
    database: Database, directory: Path, address: str, *, shared: bool = True, lease_seconds: float = 30.0
) -> AsyncIterator[Replicas]:
    opening = open_replicas(ReplicaRepository(database), directory, shared=shared, lease_seconds=lease_seconds)
    async with opening as opened:
        opened.announce(address)
        yield opened


async def forget_to_renew(database: Database, replica_id: str) -> None:
    """Let a lease run out."""
    async with whole(database).begin() as connection:
        await connection.execute(
            text("UPDATE ingest_replicas SET lease_until = now() - interval '1 second' WHERE id = :id"),
            {"id": replica_id},
        )


async def test_a_meeting_is_whose_who_claimed_it_first_and_the_others_learn_where(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        meeting(database_url) as database,
        replica(database, tmp_path, "one:1") as one,
        replica(database, tmp_path, "other:1") as other,
    ):
        assert await one.owner(KEY) is None
        claims = await asyncio.gather(*(each.claim(KEY) for each in (one, other) for _ in range(4)))
        assert len({claim.replica_id for claim in claims}) == 1
        owner, heir = (one, other) if claims[0].replica_id == one.id else (other, one)
        seen = await heir.owner(KEY)
        assert seen is not None
        assert (seen.replica_id, seen.mine, seen.address.endswith(":1")) == (owner.id, False, True)
        with pytest.raises(MeetingNotFound):
            await one.claim(MeetingKey("default", "another"))
        with pytest.raises(MeetingNotFound):
            await one.claim(MeetingKey("another", "m"))


@pytest.mark.parametrize("how", ["dies", "leaves"])
async def test_the_meetings_of_a_replica_that_is_no_more_are_anybodys(
    database_url: str, tmp_path: Path, how: str
) -> None:
    async with meeting(database_url) as database, replica(database, tmp_path, "heir:1") as heir:
        async with replica(database, tmp_path, "owner:1") as owner:
            assert (await owner.claim(KEY)).mine
            assert await heir.dead() == []
            assert not (await heir.claim(KEY)).mine
            if how == "dies":
                await forget_to_renew(database, owner.id)
                assert await heir.dead() == [KEY]
        assert await heir.dead() == [KEY]
        assert await heir.owner(KEY) is None
        assert (await heir.claim(KEY)).mine


async def test_journals_of_ones_own_are_waited_for(database_url: str, tmp_path: Path) -> None:
    async with meeting(database_url) as database, replica(database, tmp_path / "b", "other:1", shared=False) as other:
        async with replica(database, tmp_path / "a", "owner:1", shared=False) as owner:
            assert (await owner.claim(KEY)).mine
        with pytest.raises(MeetingElsewhere) as caught:
            await other.claim(KEY)
        assert caught.value.metadata == {"meetingId": "m", "owner": "owner:1"}
        assert await other.dead() == []
        async with replica(database, tmp_path / "a", "owner:2", shared=False) as back:
            assert back.id == owner.id
            assert (await back.claim(KEY)).mine


async def test_a_lease_is_renewed_and_a_missed_renewal_is_made_up_for(database_url: str, tmp_path: Path) -> None:
    async with meeting(database_url) as database, replica(database, tmp_path, "a:1", lease_seconds=1) as one:
        await one.claim(KEY)
        await forget_to_renew(database, one.id)

        async def renewed() -> bool:
            async with whole(database).connect() as connection:
                found = await connection.scalar(text("SELECT lease_until > now() FROM ingest_replicas"))
            return bool(found)

        await eventually(renewed, seconds=SECONDS)


async def test_who_freezes_in_the_middle_of_a_write_holds_nobody_up_for_long(database_url: str, tmp_path: Path) -> None:
    async with meeting(database_url) as database, replica(database, tmp_path, "heir:1") as heir:
        locked, woken = asyncio.Event(), asyncio.Event()

        async def write() -> None:
            async with whole(database).begin() as connection:
                await lock_meeting(connection, KEY)
                locked.set()
                await woken.wait()
                await connection.execute(select(meetings))

        writing = asyncio.create_task(write())
        await locked.wait()
        async with asyncio.timeout(SECONDS):
            assert (await heir.claim(KEY)).mine
        woken.set()
        with pytest.raises(DatabaseUnavailable):
            await writing


@dataclass
class Live:
    """A session as its owner has it in memory."""

    session: Session
    track: Track


def live(directory: Path) -> Live:
    session = Session.open(KEY, "s", Fence.take(directory), SessionLimits())
    track = session.introduce(pb.TrackStart(track=1, participant_id="anna"))
    return Live(session, track)


def final(start: int) -> NewSegment:
    return NewSegment("anna", "Anna", start, start + 100, start + 200, "hello", (), "en", 0.5, "scripted", "none")


async def test_after_a_takeover_nothing_that_the_old_owner_writes_counts(database_url: str, tmp_path: Path) -> None:
    async with meeting(database_url) as database:
        repository = LiveRepository(database)
        old, new = Tenure(KEY, "old", 1), Tenure(KEY, "new", 2)
        one = live(tmp_path / "m")
        await repository.take(old)
        await repository.open_session(old, "s", WHEN)
        await repository.introduce(old, one.session, one.track)
        await repository.settle(old, one.session, one.track, final(0))
        with pytest.raises(Fenced):
            await repository.take(new)  # the meeting is not a dead one's
        await repository.release(old)
        await repository.take(new)

        async def everything() -> list[object]:
            async with whole(database).connect() as connection:
                return [
                    (await connection.execute(select(table).order_by(*table.primary_key))).all()
                    for table in (meetings, audio_sessions, tracks, segments)
                ]

        before = await everything()
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: repository.take(old),
            lambda: repository.open_session(old, "t", WHEN),
            lambda: repository.introduce(old, one.session, one.track),
            lambda: repository.settle(old, one.session, one.track, final(300)),
            lambda: repository.move_cursor(old, one.session, one.track, 900),
            lambda: repository.end_session(old, one.session),
            lambda: repository.begin_finish(old),
            lambda: repository.finish(old, Finish(WHEN, 1, (), (), ())),
            lambda: repository.sealed(old, "s", "audio"),
        ]
        for write in writes:
            with pytest.raises(Fenced):
                await write()
        await repository.release(old)
        assert await everything() == before
        await repository.take(new)
        await repository.settle(new, one.session, one.track, final(300))
        async with whole(database).connect() as connection:
            assert await connection.scalar(select(func.count()).select_from(segments)) == 2
        one.session.journal.close()


async def test_the_same_replica_fences_itself_when_it_takes_a_meeting_up_again(
    database_url: str, tmp_path: Path
) -> None:
    async with meeting(database_url) as database:
        repository = LiveRepository(database)
        await repository.take(Tenure(KEY, "one", 1))
        await repository.take(Tenure(KEY, "one", 2))
        with pytest.raises(Fenced):
            await repository.begin_finish(Tenure(KEY, "one", 1))
        async with whole(database).begin() as connection:
            await connection.execute(meetings.delete().where(is_meeting(KEY)))
        with pytest.raises(MeetingNotFound):
            await repository.begin_finish(Tenure(KEY, "one", 2))


async def test_a_language_that_a_final_was_sure_of_outlives_the_process(database_url: str, tmp_path: Path) -> None:
    script = Script()
    script.track(1, "anna")
    script.say(1, talk(2, seed=71))
    async with running_ingest(database_url, tmp_path) as near:
        near.speech.pins = "ru"
        meeting_id = await start_meeting(near.ingest.user)
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            for request in script.requests:
                await call.write(request)
            await until_durable(call, len(script.requests))

            async def stored() -> bool:
                async with whole(near.ingest.database).connect() as connection:
                    return await connection.scalar(select(tracks.c.pinned_language)) == "ru"

            await eventually(stored, seconds=SECONDS)
        assert {opening.language for opening in near.speech.opens} == {""}
    async with running_ingest(database_url, tmp_path, session_timeout_seconds=0.2) as near:
        await finished(near.ingest.user, meeting_id)
        assert {opening.language for opening in near.speech.opens} == {"ru"}
