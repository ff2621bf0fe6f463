"""Notices: who was told of the recording and who withdrew, kept in PostgreSQL and heeded by every replica."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from sqlalchemy import delete, insert

from agent.connector.v1 import connector_service_pb2 as pb
from examples.callers import open_caller, speech_from_samples
from kit.db.engine import Database, open_database
from kit.db.migrate import migrate
from kit.rpc.status import error_of
from services.connector.notices.book import open_notice_book
from services.connector.notices.notice import Call, Notice
from services.connector.notices.repository import NoticeRepository
from store.models.meetings import meetings
from tests.fakes.room_server import Member
from tests.integration.connector.harness import speech_like
from tests.integration.connector.test_replicas import SECONDS, live, standing
from tests.kit_server import eventually
from tests.postgres import fresh_url, whole

pytestmark = pytest.mark.usefixtures("every_tenant")

MEETING = "m-1"
CALL = Call("acme", MEETING, "s-1")
AT = datetime(2026, 11, 21, tzinfo=UTC)


async def make_meeting(database: Database, tenant_id: str = "acme") -> None:
    async with whole(database).begin() as connection:
        row = {"id": MEETING, "tenant_id": tenant_id, "mode": "realtime", "state": "live"}
        await connection.execute(insert(meetings).values(row))


@asynccontextmanager
async def notices() -> AsyncIterator[tuple[NoticeRepository, Database]]:
    """Have an empty database with one meeting for the block."""
    with fresh_url() as url:
        await migrate(url)
        async with open_database(url, room="tests") as database:
            await make_meeting(database)
            yield NoticeRepository(database), database


async def test_what_a_book_was_told_is_there_for_the_next_connector() -> None:
    async with notices() as (repository, _):
        async with open_notice_book(repository, CALL) as book:
            book.told("a", "Anna", "chat")
            book.told("a", "Anna", "roster")
            book.told("b", "Boris", "chat")
            book.withdrew("b")
            book.withdrew("c", "Vera")
            book.consented("c")
        stored = {notice.participant_id: notice for notice in await repository.of_session("acme", "s-1")}
        assert [(each.display_name, each.channel, each.withdrawn) for each in stored.values()] == [
            ("Anna", "chat", False),
            ("Boris", "chat", True),
            ("Vera", "", False),
        ]
        assert not await repository.of_session("another tenant", "s-1")
        async with open_notice_book(repository, Call("acme", MEETING, "s-2")) as later:
            assert [notice.participant_id for notice in later.notices if notice.withdrawn] == ["b"]
            later.consented("b")
        assert await repository.withdrawn("acme", MEETING) == frozenset()


async def test_a_withdrawal_that_another_replica_wrote_is_not_written_over() -> None:
    async with notices() as (repository, _):
        before = Notice("a", "Anna", "chat", AT)
        await repository.keep(CALL, [before])
        await repository.keep(CALL, [Notice("a", "Anna", "chat", AT, withdrawn_time=AT + timedelta(seconds=5))])
        await repository.keep(CALL, [before])
        ((session_id, notice),) = await repository.withdrawals(["s-1", "s-2"])
        assert (session_id, notice.withdrawn_time) == ("s-1", AT + timedelta(seconds=5))


async def test_notices_are_erased_with_their_meeting_and_not_kept_afterwards() -> None:
    async with notices() as (repository, database):
        await repository.keep(CALL, [Notice("a", "Anna", "chat", AT)])
        async with whole(database).begin() as connection:
            await connection.execute(delete(meetings))
        assert not await repository.of_session("acme", "s-1")
        await repository.keep(CALL, [Notice("a", "Anna", "chat", AT)])
        assert not await repository.of_session("acme", "s-1")


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "another_replica"])
async def test_an_operator_withdraws_somebody_through_any_replica(elsewhere: bool) -> None:
    async with (
        standing() as mesh,
        mesh.replica(reconciling=False) as first,
        mesh.replica(reconciling=False) as second,
    ):
        await make_meeting(mesh.database, tenant_id="default")
        said = speech_from_samples(speech_like(60.0, 1))
        url = mesh.rooms.signal_url(MEETING)
        async with open_caller("Anna", said, url=url, room=MEETING) as anna:
            await first.Join(pb.JoinRequest(meeting_id=MEETING))
            async with asyncio.timeout(SECONDS):
                await anna.ready.wait()
            anna.start.set()
            session = await live(first, MEETING)

            async def told() -> bool:
                answer = await second.GetStatus(pb.GetStatusRequest(meeting_id=MEETING))
                return [(each.display_name, each.channel) for each in answer.session.notices] == [("Anna", "chat")]

            await eventually(told, SECONDS)
            stub = second if elsewhere else first
            request = pb.WithdrawConsentRequest(meeting_id=MEETING, participant_id=anna.participant_id)
            answer = await stub.WithdrawConsent(request, timeout=SECONDS)
            assert answer.notice.HasField("withdrawn_time")
            session = (await first.GetStatus(pb.GetStatusRequest(meeting_id=MEETING))).session
            assert [(each.display_name, each.withdrawn) for each in session.participants] == [("Anna", True)]
            assert session.notices[0].withdrawn_time == answer.notice.withdrawn_time
            assert await problem(stub.WithdrawConsent(unknown())) == "ERROR_REASON_PARTICIPANT_NOT_FOUND"
            await eventually(lambda: not recorded(mesh.rooms.rooms[MEETING].values()), SECONDS)
            await first.Leave(pb.LeaveRequest(meeting_id=MEETING))
            assert await problem(stub.WithdrawConsent(request)) == "ERROR_REASON_STATE_CHANGED"
        track = next(iter(mesh.ingest.session.tracks.values()))
        assert track.total("gap:withdrawn") > 0


def recorded(members: Iterable[Member]) -> bool:
    """Return whether anybody in the room but the recorder may be recorded."""
    return any(member.recording and member.role != "recorder" for member in members)


def unknown() -> pb.WithdrawConsentRequest:
    return pb.WithdrawConsentRequest(meeting_id=MEETING, participant_id="nobody")


async def problem(call: Awaitable[object]) -> str:
    """Return the reason with which a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return error_of(refused.value).reason
