"""Relays: a meeting that lives at another replica is heard once, however many watch it here."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from agent.common.v1 import report_pb2, transcript_pb2
from agent.ingest.v1 import meeting_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2_grpc as meeting_grpc
from kit.auth.authenticator import ApiKeys
from kit.auth.keys import KeyRing
from kit.rpc.server import RpcService, open_server
from services.ingest.intake.session import MeetingKey
from services.ingest.messages import meeting_message
from services.ingest.replicas.door import forwarded_for
from services.ingest.replicas.peers import open_peers
from services.ingest.rows import MeetingRow
from services.ingest.watching.hub import LOOK_AGAIN, Hub
from services.ingest.watching.relay import Relay, Relays, open_relays
from tests.fakes.replicas import Register, Replica
from tests.integration.ingest.running import SECONDS, SERVICE_KEY, USER_KEY
from tests.kit_server import eventually

KEY = MeetingKey("acme", "m")
ROW = MeetingRow(
    meeting_id="m",
    tenant_id="acme",
    title="Interview",
    mode="realtime",
    state="live",
    language="",
    provider="",
    provider_ref="",
    context={},
    create_time=datetime(2026, 1, 1, tzinfo=UTC),
    start_time=None,
    end_time=None,
    duration_ms=0,
    revision=0,
    report_state="none",
    segments=3,
)

_Servicer: Any = meeting_grpc.MeetingServiceServicer


def segment(ordinal: int) -> pb.WatchMeetingResponse:
    return pb.WatchMeetingResponse(cursor=ordinal, segment=transcript_pb2.Segment(ordinal=ordinal))


def insight(duration_ms: int) -> pb.WatchMeetingResponse:
    talk = report_pb2.TalkStatistics(duration_ms=duration_ms)
    return pb.WatchMeetingResponse(insight=pb.LiveInsight(talk=talk))


def anna() -> pb.WatchMeetingResponse:
    return pb.WatchMeetingResponse(participant=pb.Participant(participant_id="anna", display_name="Anna"))


def finished() -> pb.WatchMeetingResponse:
    return pb.WatchMeetingResponse(meeting=meeting_message(replace(ROW, state="finished")))


@dataclass
class Owner(_Servicer):  # type: ignore[misc]
    """An owner that says its prelude to each listener, then what it is given."""

    prelude: list[pb.WatchMeetingResponse] = field(default_factory=list)
    requests: list[pb.WatchMeetingRequest] = field(default_factory=list)
    callers: list[str | None] = field(default_factory=list)
    says: "asyncio.Queue[pb.WatchMeetingResponse]" = field(default_factory=asyncio.Queue)
    open_streams: int = 0

    async def WatchMeeting(self, request: Any, context: Any) -> AsyncIterator[pb.WatchMeetingResponse]:
        self.requests.append(request)
        self.callers.append(forwarded_for(context))
        self.open_streams += 1
        try:
            yield pb.WatchMeetingResponse(meeting=meeting_message(ROW))
            for event in self.prelude:
                yield event
            while True:
                yield await self.says.get()
        finally:
            self.open_streams -= 1


@dataclass
class LiveHere:
    """The meetings that are live here."""

    keys: set[MeetingKey] = field(default_factory=set)

    def find(self, key: MeetingKey) -> object | None:
        return key if key in self.keys else None


@dataclass
class Near:
    """A replica, its watchers' hub, and where it believes the owner to be."""

    register: Register
    relays: Relays
    live: LiveHere
    hub: Hub

    @contextmanager
    def watcher(self, *, interim: bool = False) -> Iterator[tuple[list[pb.WatchMeetingResponse], Relay]]:
        """Watch for the block; yields what comes."""
        heard: list[pb.WatchMeetingResponse] = []
        with self.hub.subscribe(KEY) as subscription, self.relays.attend(KEY, ROW, interim=interim) as relay:

            async def listen() -> None:
                while True:
                    heard.append(await subscription.next())

            listening = asyncio.create_task(listen())
            try:
                yield heard, relay
            finally:
                listening.cancel()

    def owner_is(self, address: str) -> None:
        """Let the register say so."""
        self.register.owners[KEY] = Replica(address, address)


@asynccontextmanager
async def serving(owner: Owner) -> AsyncIterator[str]:
    auth = ApiKeys(KeyRing([SecretStr(USER_KEY)], [SecretStr(SERVICE_KEY)]))
    service = RpcService(
        pb.DESCRIPTOR.services_by_name["MeetingService"], owner, meeting_grpc.add_MeetingServiceServicer_to_server
    )
    async with open_server("127.0.0.1:0", services=[service], auth=auth, room="ingest") as server:
        yield server.address


@asynccontextmanager
async def running(*, heartbeat_seconds: float = 5.0) -> AsyncIterator[Near]:
    register, live, hub = Register(Replica("here", "127.0.0.1:1", mine=True)), LiveHere(), Hub()
    async with (
        open_peers(SERVICE_KEY) as peers,
        open_relays(live, register, peers, hub, heartbeat_seconds=heartbeat_seconds) as relays,
    ):
        yield Near(register, relays, live, hub)


async def until(heard: list[pb.WatchMeetingResponse], event: pb.WatchMeetingResponse) -> None:
    await eventually(lambda: event in heard, seconds=SECONDS)


async def test_many_watchers_cost_the_owner_one_call_and_the_last_one_ends_it() -> None:
    owner = Owner()
    async with serving(owner) as address, running() as near:
        near.owner_is(address)
        with near.watcher() as (one, _), near.watcher() as (other, _):
            await eventually(lambda: owner.open_streams == 1)
            owner.says.put_nowait(segment(4))
            await until(one, segment(4))
            await until(other, segment(4))
            assert len(owner.requests) == 1
            assert owner.requests[0] == pb.WatchMeetingRequest(meeting_id="m", after=3, interim=False)
            assert owner.callers == ["relay"]
            # What both read in the store is not told again.
            assert one == other == [segment(4)]
            loud = pb.Levels(participants=[pb.ParticipantLevel(participant_id="anna", level=9)])
            owner.says.put_nowait(pb.WatchMeetingResponse(cursor=4, levels=loud))
            for heard in (one, other):
                await until(heard, pb.WatchMeetingResponse(cursor=4, levels=loud))
        await eventually(lambda: owner.open_streams == 0)


async def test_interim_text_is_asked_for_when_somebody_wants_it() -> None:
    owner = Owner()
    async with serving(owner) as address, running() as near:
        near.owner_is(address)
        with near.watcher() as (heard, _):
            # Heard, so the relay listens now: it asks for more or less when the next event wakes it.
            owner.says.put_nowait(segment(4))
            await until(heard, segment(4))
            with near.watcher(interim=True):
                owner.says.put_nowait(segment(5))
                await eventually(lambda: [each.interim for each in owner.requests] == [False, True])
                await until(heard, segment(5))
                await eventually(lambda: owner.open_streams == 1)
                owner.says.put_nowait(segment(6))
                await until(heard, segment(6))
            owner.says.put_nowait(segment(7))
            await eventually(lambda: [each.interim for each in owner.requests] == [False, True, False])
            await until(heard, segment(7))
            assert [each.after for each in owner.requests] == [3, 5, 7]


async def test_a_meeting_that_moves_is_heard_on_from_the_cursor_and_nothing_is_said_twice() -> None:
    first, second = Owner([anna(), insight(1)]), Owner([segment(5), anna(), insight(1), insight(2)])
    async with AsyncExitStack() as stack, serving(second) as there, running() as near:
        near.owner_is(await stack.enter_async_context(serving(first)))
        with near.watcher() as (heard, relay):
            first.says.put_nowait(segment(4))
            await until(heard, segment(4))
            await stack.aclose()
            await until(heard, LOOK_AGAIN)
            near.owner_is(there)
            await until(heard, insight(2))
            second.says.put_nowait(segment(6))
            await until(heard, segment(6))
            assert second.requests[0].after == 4
            told = [event for event in heard if event != LOOK_AGAIN]
            assert told == [anna(), insight(1), segment(4), segment(5), insight(2), segment(6)]
            assert [each.talk.duration_ms for each in relay.insights] == [2]


async def test_a_meeting_that_comes_to_this_replica_is_left_to_it() -> None:
    owner = Owner()
    async with serving(owner) as address, running() as near:
        near.owner_is(address)
        with near.watcher() as (heard, _):
            owner.says.put_nowait(segment(4))
            await until(heard, segment(4))
            near.live.keys.add(KEY)
            owner.says.put_nowait(segment(5))
            await eventually(lambda: owner.open_streams == 0)
            await until(heard, LOOK_AGAIN)
            near.live.keys.clear()
            owner.says.put_nowait(segment(6))
            await until(heard, segment(6))


async def test_a_meeting_that_begins_later_is_found_then() -> None:
    owner = Owner()
    async with serving(owner) as address, running() as near:
        with near.watcher() as (heard, _):
            near.owner_is(address)
            owner.says.put_nowait(segment(4))
            await until(heard, segment(4))


async def test_an_owner_that_falls_silent_is_asked_anew() -> None:
    owner = Owner()
    async with serving(owner) as address, running(heartbeat_seconds=0.1) as near:
        near.owner_is(address)
        with near.watcher():
            await eventually(lambda: len(owner.requests) >= 3, seconds=SECONDS)


async def test_the_end_of_the_meeting_is_the_end_of_the_relay() -> None:
    owner = Owner()
    async with serving(owner) as address, running() as near:
        near.owner_is(address)
        with near.watcher() as (heard, _):
            owner.says.put_nowait(finished())
            await until(heard, finished())
            await eventually(lambda: owner.open_streams == 0)
        assert len(owner.requests) == 1


async def test_warnings_of_an_owner_are_known_to_late_watchers_and_taken_back_when_it_is_gone() -> None:
    wrong = pb.WatchMeetingResponse(warning=pb.MeetingWarning(kind="silent_capture", participant_id="anna"))
    over = pb.WatchMeetingResponse(warning=as_over(wrong.warning))
    async with AsyncExitStack() as stack, running() as near:
        near.owner_is(await stack.enter_async_context(serving(Owner([wrong]))))
        with near.watcher() as (heard, _):
            await until(heard, wrong)
            with near.watcher() as (_, relay):
                assert list(relay.warnings) == [wrong.warning]
                await stack.aclose()
                await until(heard, over)
                assert list(relay.warnings) == []


def as_over(warning: pb.MeetingWarning) -> pb.MeetingWarning:
    return pb.MeetingWarning(kind=warning.kind, participant_id=warning.participant_id, cleared=True)
