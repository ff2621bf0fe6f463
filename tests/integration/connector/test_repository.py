"""The connector's records in PostgreSQL."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import update

from kit.clock import now
from kit.ids import new_id
from services.connector.repository import SessionRepository
from services.connector.sessions.record import Record, State
from store.models.connector_sessions import connector_sessions
from tests.postgres import fresh_database


def record(meeting_id: str = "m-1", tenant_id: str = "default", request_id: str = "") -> Record:
    """Make a session that has just been asked for."""
    moment = now()
    return Record(new_id(), meeting_id, tenant_id, "room", "", "en", request_id, moment, moment)


async def test_a_record_comes_back_as_it_was_kept() -> None:
    async with fresh_database() as database:
        sessions = SessionRepository(database, "here")
        made = await sessions.create(record())
        live = replace(made, state=State.LIVE, reason="why not", attempts=2, joined_time=now(), update_time=now())
        await sessions.save(live)
        assert await sessions.find("default", "m-1") == live
        assert await sessions.find("another", "m-1") is None


async def test_a_meeting_has_one_recorder_and_answers_with_it() -> None:
    async with fresh_database() as database:
        sessions = SessionRepository(database, "here")
        first = await sessions.create(record())
        await sessions.save(replace(first, state=State.LIVE))
        again = await SessionRepository(database, "elsewhere").create(record())
        assert again.session_id == first.session_id
        await sessions.save(replace(first, state=State.ENDED, end_time=now()))
        second = await sessions.create(record())
        assert second.session_id != first.session_id


async def test_a_repeated_request_gets_its_session_even_when_that_is_over() -> None:
    async with fresh_database() as database:
        sessions = SessionRepository(database, "here")
        first = await sessions.create(record(request_id="r-1"))
        await sessions.save(replace(first, state=State.ENDED))
        assert (await sessions.create(record(request_id="r-1"))).session_id == first.session_id
        assert (await sessions.create(record(request_id="r-2"))).session_id != first.session_id


async def test_a_session_whose_connector_is_gone_makes_way() -> None:
    async with fresh_database() as database:
        sessions = SessionRepository(database, "here")
        first = await sessions.create(record())
        await sessions.save(replace(first, state=State.LIVE))
        async with database.begin() as connection:
            await connection.execute(update(connector_sessions).values(lease_until=now() - timedelta(seconds=1)))
        second = await sessions.create(record())
        assert second.session_id != first.session_id
        await sessions.save(replace(second, state=State.ENDED))
        pages = await sessions.page("default", 10, None)
        assert [(each.session_id, each.state) for each in pages] == [
            (second.session_id, State.ENDED),
            (first.session_id, State.FAILED),
        ]


async def test_pages_go_from_new_to_old_and_see_one_tenant() -> None:
    async with fresh_database() as database:
        sessions = SessionRepository(database, "here")
        made = [await sessions.create(record(f"m-{number}")) for number in range(5)]
        await sessions.create(record("m-9", tenant_id="another"))
        first = await sessions.page("default", 3, None)
        rest = await sessions.page("default", 3, (first[-1].create_time, first[-1].session_id))
        assert [each.meeting_id for each in [*first, *rest]] == [each.meeting_id for each in reversed(made)]
