"""The connector's records, locks, breakers and decisions in PostgreSQL."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from kit.clock import now
from kit.db.engine import Database
from kit.ids import new_id
from services.connector.breakers.breaker import THRESHOLD, BreakerState
from services.connector.breakers.breakers import Breakers
from services.connector.breakers.repository import BreakerRepository
from services.connector.errors import OperationInProgress, ProviderBreakerOpen
from services.connector.operations import Operations
from services.connector.provider import ProviderAway
from services.connector.reconciliation.decision import Action, Decision, Source
from services.connector.reconciliation.repository import DecisionRepository
from services.connector.repository import OperationRepository, SessionRepository
from services.connector.sessions.record import Record, SessionTaken, State, Transition, Wish
from store.models.breakers import breakers as breaker_table
from store.models.connector_sessions import connector_sessions
from tests.postgres import fresh_database, whole

pytestmark = pytest.mark.usefixtures("every_tenant")


def record(meeting_id: str = "m-1", tenant_id: str = "default", request_id: str = "") -> Record:
    """Make a session that has just been asked for."""
    moment = now()
    return Record(new_id(), meeting_id, tenant_id, "room", "", "en", request_id, moment, moment, State.JOINING)


async def expire(database: Database) -> None:
    """Let every lease run out."""
    async with whole(database).begin() as connection:
        await connection.execute(update(connector_sessions).values(lease_until=now() - timedelta(seconds=1)))


async def test_a_record_comes_back_as_it_was_kept() -> None:
    async with fresh_database() as database:
        sessions = SessionRepository(database, "here")
        made = await sessions.create(record())
        assert (made.epoch, made.steps, made.held) == (1, 1, True)
        live = replace(
            made, state=State.LIVE, reason="why not", attempts=2, joined_time=now(), update_time=now(), met=True,
            cursor="17", start_time_ms=1_234_567,
        )  # fmt: skip
        await sessions.save(live)
        found = await sessions.find("default", "m-1")
        assert found is not None
        assert found.last_seen_time is not None
        assert found.last_seen_time >= (made.last_seen_time or now())
        assert replace(found, last_seen_time=None, steps=0) == replace(live, last_seen_time=None, steps=0)
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


async def test_a_stale_session_is_taken_by_one_replica_and_fences_the_one_before() -> None:
    async with fresh_database() as database:
        sessions, heir, rival = (SessionRepository(database, name) for name in ("here", "heir", "rival"))
        first = await sessions.create(record())
        live = replace(first, state=State.LIVE)
        await sessions.save(live, [Transition(2, now(), State.JOINING, State.LIVE)])
        assert await heir.claim(first, "too early") is None
        assert not await heir.stale(10)
        await expire(database)
        (stale,) = await heir.stale(10)
        assert (stale.held, stale.state) == (False, State.LIVE)
        taken = await heir.claim(stale, "taken up")
        assert taken is not None
        assert (taken.epoch, taken.state, taken.steps) == (2, State.RECONNECTING, 3)
        assert taken.audio_session_id == f"{first.session_id}.2"
        assert await rival.claim(stale, "too late") is None
        with pytest.raises(SessionTaken):
            await sessions.save(live)
        steps = await sessions.transitions([first.session_id], 2)
        assert [(step.before, step.after) for step in steps[first.session_id]] == [
            (State.LIVE, State.RECONNECTING),
            (State.JOINING, State.LIVE),
        ]


async def test_a_session_that_is_handed_over_can_be_taken_at_once() -> None:
    async with fresh_database() as database:
        sessions = SessionRepository(database, "here", timedelta(hours=1))
        made = await sessions.create(record())
        await sessions.release(replace(made, state=State.RECONNECTING))
        assert [each.session_id for each in await sessions.stale(10)] == [made.session_id]


async def test_a_new_session_of_a_meeting_goes_on_with_its_timeline() -> None:
    async with fresh_database() as database:
        sessions = SessionRepository(database, "here")
        first = await sessions.create(record())
        await sessions.save(replace(first, state=State.ENDED, start_time_ms=77_000, update_time=now()))
        assert (await sessions.create(record())).start_time_ms == 77_000
        assert (await sessions.create(record("m-2"))).start_time_ms == 0


async def test_a_wish_reaches_the_owner_once_and_leaving_is_not_taken_back() -> None:
    async with fresh_database() as database:
        sessions, other = SessionRepository(database, "here"), SessionRepository(database, "other")
        made = await sessions.create(record())
        await other.ask(made, Wish.LEAVE, "enough")
        await other.ask(made, Wish.RECONNECT, "again")
        assert not await other.wishes()
        assert list(await sessions.wishes()) == [(made.session_id, Wish.LEAVE, "enough")]
        assert not await sessions.wishes()


async def test_operations_on_a_meeting_exclude_each_other_until_their_time_is_over() -> None:
    async with fresh_database() as database:
        here, there = (Operations(OperationRepository(database), 60.0) for _ in range(2))
        async with here.held("m-1", "join"):
            with pytest.raises(OperationInProgress) as caught:
                async with there.held("m-1", "leave"):
                    pass
            assert caught.value.metadata == {"meetingId": "m-1", "operation": "join"}
            async with there.held("m-2", "leave"):
                pass
        async with there.held("m-1", "leave"), Operations(OperationRepository(database), 60.0).held("m-3", "join"):
            pass
        forgotten = Operations(OperationRepository(database), -1.0)
        async with forgotten.held("m-1", "join"), here.held("m-1", "leave"):
            pass


async def test_replicas_share_a_breaker_and_its_history() -> None:
    base = "https://jazz.example"
    async with fresh_database() as database:
        here, there = (Breakers(BreakerRepository(database)) for _ in range(2))
        for number in range(THRESHOLD):
            await (here, there)[number % 2].failed("sberjazz", base, ProviderAway("503"))
        with pytest.raises(ProviderBreakerOpen):
            await here.admit("sberjazz", base)
        async with whole(database).begin() as connection:
            await connection.execute(update(breaker_table).values(probe_time=now() - timedelta(seconds=1)))
        await there.admit("sberjazz", base)
        with pytest.raises(ProviderBreakerOpen):
            await here.admit("sberjazz", base)
        await there.succeeded("sberjazz", base)
        await here.admit("sberjazz", base)
        assert (await here.find("sberjazz")).state is BreakerState.CLOSED
        assert [(one.state.value, one.reason) for one in await here.history("sberjazz")] == [
            ("closed", "probe"),
            ("half_open", "probe"),
            ("open", "failures"),
        ]
        assert [one.name for one in await there.all()] == ["connector.sberjazz"]


async def test_decisions_are_paged_and_a_tenant_sees_its_own_and_the_breakers() -> None:
    async with fresh_database() as database:
        ledger = DecisionRepository(database)
        for tenant, meeting in [("a", "m-1"), ("b", "m-2"), ("", ""), ("a", "m-3")]:
            await ledger.add(
                Decision("room", "in_call", "stale", Action.REJOIN, "back", Source.WORKER, now(), tenant, meeting)
            )
        first = await ledger.page("a", 2, None)
        rest = await ledger.page("a", 2, first[-1].sequence)
        assert [one.meeting_id for one in [*first, *rest]] == ["m-3", "", "m-1"]
        assert [one.meeting_id for one in await ledger.page("a", 9, None, meeting_id="m-1")] == ["m-1"]
        await ledger.forget()
        assert len(await ledger.page("a", 9, None)) == 3


async def test_pages_go_from_new_to_old_and_see_one_tenant() -> None:
    async with fresh_database() as database:
        sessions = SessionRepository(database, "here")
        made = [await sessions.create(record(f"m-{number}")) for number in range(5)]
        await sessions.create(record("m-9", tenant_id="another"))
        first = await sessions.page("default", 3, None)
        rest = await sessions.page("default", 3, (first[-1].create_time, first[-1].session_id))
        assert [each.meeting_id for each in [*first, *rest]] == [each.meeting_id for each in reversed(made)]
