"""Any replica is a door: a call for a meeting that lives elsewhere goes to its owner and comes back as it is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from agent.ingest.v1 import audio_service_pb2 as pb
from agent.ingest.v1 import audio_service_pb2_grpc as audio_grpc
from kit.auth.authenticator import TENANT_ID, ApiKeys
from kit.auth.keys import KeyRing
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from kit.rpc.server import RpcServer, RpcService, open_server
from services.ingest.errors import EpochFenced, SequenceGap
from services.ingest.intake.chunks import ChunkDoor
from services.ingest.intake.session import MeetingKey
from services.ingest.replicas.door import FORWARDED, Door, caller_of
from services.ingest.replicas.forward import Forwarder
from services.ingest.replicas.peers import Peers, open_peers
from services.ingest.servicer import AudioServicer, InternalAudioServicer
from services.ingest.settings import IngestSettings
from tests.fakes.replicas import Register, Replica
from tests.integration.ingest.running import SECONDS, SERVICE_KEY, USER_KEY, Stubs, refused, rest, stubs
from tests.kit_server import eventually

KEY = MeetingKey("default", "m")
OPEN = pb.StreamAudioRequest(open=pb.SessionOpen(meeting_id="m", session_id="s", epoch=1))
OPENED = pb.StreamAudioResponse(opened=pb.SessionOpened(next_sequence=1, window=64))
BIG = pb.StreamAudioRequest(audio=pb.AudioFrame(pcm=b"x" * 32_000))

_Servicer: Any = audio_grpc.AudioServiceServicer
_InternalServicer: Any = audio_grpc.InternalAudioServiceServicer


@dataclass
class Owner(_Servicer, _InternalServicer):  # type: ignore[misc]
    """The replica that owns the meeting: it keeps what arrives and does what it is told once a stream is open."""

    act: Callable[[Any], Any] | None = None
    requests: list[pb.StreamAudioRequest] = field(default_factory=list)
    callers: list[tuple[str, str]] = field(default_factory=list)
    half_closed: int = 0
    open_streams: int = 0

    async def StreamAudio(self, request_iterator: Any, context: Any) -> None:
        self._note(context)
        self.open_streams += 1
        try:
            self.requests.append(await context.read())
            await context.write(OPENED)
            if self.act is not None:
                await self.act(context)
                return
            while (request := await context.read()) is not grpc.aio.EOF:
                self.requests.append(request)
                await context.write(pb.StreamAudioResponse(durable=pb.AudioDurable(sequence=request.sequence)))
            self.half_closed += 1
        finally:
            self.open_streams -= 1

    async def PutChunk(self, request: pb.PutChunkRequest, context: Any) -> pb.PutChunkResponse:
        self._note(context)
        if request.sequence > 1:
            raise SequenceGap(1, request.sequence - 1)
        return pb.PutChunkResponse(sequence=request.sequence, end_ms=len(request.content))

    async def PutInternalChunk(self, request: pb.PutInternalChunkRequest, context: Any) -> pb.PutInternalChunkResponse:
        return pb.PutInternalChunkResponse(chunk=await self.PutChunk(request.chunk, context))

    def _note(self, context: Any) -> None:
        caller = caller_of(context)
        self.callers.append((caller.tenant_id, caller.subject))


class Nowhere:
    """No meeting is live here."""

    def find(self, key: MeetingKey) -> None:
        return None


@dataclass
class Running:
    """A door and the owner behind it."""

    user: Stubs
    service: Stubs
    owner: Owner
    behind: RpcServer
    register: Register
    peers: Peers
    draining: asyncio.Event


@asynccontextmanager
async def serving(
    audio: Any, internal: Any, *, service_key: str = SERVICE_KEY, draining: asyncio.Event | None = None
) -> AsyncIterator[RpcServer]:
    auth = ApiKeys(KeyRing([SecretStr(USER_KEY)], [SecretStr(service_key)]))
    services = [
        RpcService(
            pb.DESCRIPTOR.services_by_name["AudioService"], audio, audio_grpc.add_AudioServiceServicer_to_server
        ),
        RpcService(
            pb.DESCRIPTOR.services_by_name["InternalAudioService"],
            internal,
            audio_grpc.add_InternalAudioServiceServicer_to_server,
        ),
    ]
    async with open_server("127.0.0.1:0", services=services, auth=auth, room="ingest", draining=draining) as server:
        yield server


@asynccontextmanager
async def running(act: Callable[[Any], Any] | None = None, **behind: Any) -> AsyncIterator[Running]:
    """Serve a door in front of an owner."""
    owner, draining, live = Owner(act), asyncio.Event(), Nowhere()
    async with serving(owner, owner, **behind) as server, open_peers(SERVICE_KEY) as peers:
        there = Replica("there", server.address)
        register = Register(Replica("here", "127.0.0.1:1", mine=True), {KEY: there})
        door, forwarder = Door(live, register, draining), Forwarder(peers, draining)
        chunks = ChunkDoor(live, IngestSettings(), live)  # type: ignore[arg-type]  # nothing gets so far
        audio = AudioServicer(live, None, chunks, door, forwarder, draining, 5.0)  # type: ignore[arg-type]
        async with (
            serving(audio, InternalAudioServicer(chunks, door, forwarder)) as front,
            open_channel(front.address, api_key=USER_KEY) as user,
            open_channel(front.address, api_key=SERVICE_KEY) as service,
        ):
            yield Running(stubs(user), stubs(service), owner, server, register, peers, draining)


async def begin(call: Any) -> None:
    """Open a session."""
    async with asyncio.timeout(SECONDS):
        await call.write(OPEN)
        assert await call.read() == OPENED


async def test_a_stream_goes_both_ways_to_its_half_close() -> None:
    async with running() as near, asyncio.timeout(SECONDS):
        with held(near.user.audio.StreamAudio()) as call:
            await begin(call)
            for sequence in range(1, 200):
                await call.write(pb.StreamAudioRequest(sequence=sequence))
                assert (await call.read()).durable.sequence == sequence
            await call.done_writing()
            assert await rest(call) == []
        assert near.owner.half_closed == 1
        assert near.owner.requests == [OPEN, *(pb.StreamAudioRequest(sequence=each) for each in range(1, 200))]


async def test_a_client_that_does_not_wait_for_the_answer_loses_nothing() -> None:
    async with running() as near, asyncio.timeout(SECONDS):
        with held(near.user.audio.StreamAudio()) as call:
            for request in (OPEN, *(pb.StreamAudioRequest(sequence=each) for each in range(1, 50))):
                await call.write(request)
            await call.done_writing()
            assert [each.durable.sequence for each in (await rest(call))[1:]] == list(range(1, 50))


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_owners_status_comes_back_whole(at_once: bool) -> None:
    async def refuse(context: Any) -> None:
        if not at_once:
            await context.read()
        raise EpochFenced(1, 2)

    async with running(refuse) as near:
        with held(near.user.audio.StreamAudio()) as call:
            await begin(call)
            if not at_once:
                await call.write(pb.StreamAudioRequest(sequence=1))
            problem = await refused(rest(call))
        assert (problem.code, problem.reason) == (grpc.StatusCode.ABORTED, "ERROR_REASON_EPOCH_FENCED")
        assert problem.metadata == {"epoch": "1", "current": "2"}
        answer = await refused(near.user.audio.PutChunk(pb.PutChunkRequest(meeting_id="m", sequence=7, content=b"x")))
        assert (answer.code, answer.metadata) == (grpc.StatusCode.OUT_OF_RANGE, {"from": "1", "to": "6"})


async def test_chunks_of_both_contours_reach_the_owner_in_the_callers_name() -> None:
    async with running() as near:
        chunk = pb.PutChunkRequest(meeting_id="m", sequence=1, content=b"four")
        assert (await near.user.audio.PutChunk(chunk)).end_ms == 4
        inner = pb.PutInternalChunkRequest(meeting_id="m", chunk=chunk)
        near.register.owners[MeetingKey("acme", "m")] = near.register.owners[KEY]
        acme = ((TENANT_ID, "acme"),)
        assert (await near.service.internal.PutInternalChunk(inner, metadata=acme)).chunk.end_ms == 4
        user, service = near.owner.callers
        assert user[0] == "default"
        assert user[1].startswith("user:")
        assert service[0] == "acme"
        assert service[1].startswith("service:")


async def test_nothing_is_gained_by_going_through_the_door() -> None:
    async with running() as near:
        inner = pb.PutInternalChunkRequest(meeting_id="m", chunk=pb.PutChunkRequest(content=b"x"))
        assert (await refused(near.user.internal.PutInternalChunk(inner))).code is grpc.StatusCode.PERMISSION_DENIED
        other = near.user.audio.PutChunk(inner.chunk, metadata=((TENANT_ID, "acme"),))
        assert (await refused(other)).code is grpc.StatusCode.PERMISSION_DENIED
        assert near.owner.callers == []


async def test_a_forwarded_call_is_not_forwarded_again_and_a_user_cannot_say_that_it_was() -> None:
    async with running() as near:
        chunk = pb.PutChunkRequest(meeting_id="m", sequence=1, content=b"four")
        marked = ((FORWARDED, "user:somebody"),)
        problem = await refused(near.service.audio.PutChunk(chunk, metadata=marked))
        assert (problem.code, problem.reason) == (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_MEETING_ELSEWHERE")
        assert problem.retry_after_seconds == 1.0
        assert problem.metadata == {"meetingId": "m", "owner": near.behind.address}
        with held(near.service.audio.StreamAudio(metadata=marked)) as call:
            await call.write(OPEN)
            assert (await refused(rest(call))).reason == "ERROR_REASON_MEETING_ELSEWHERE"
        assert near.owner.callers == []
        await near.user.audio.PutChunk(chunk, metadata=marked)
        assert near.owner.callers[0][1] != "user:somebody"


async def test_a_client_that_goes_ends_the_stream_at_the_owner() -> None:
    async with running() as near:
        with held(near.user.audio.StreamAudio()) as call:
            await begin(call)
            assert near.owner.open_streams == 1
        await eventually(lambda: near.owner.open_streams == 0)


async def test_an_owner_that_dies_is_unavailable_with_a_time_to_come_again() -> None:
    async with running() as near:
        with held(near.user.audio.StreamAudio()) as call:
            await begin(call)
            await near.behind._server.stop(None)
            problem = await refused(rest(call))
        chunk = pb.PutChunkRequest(meeting_id="m", sequence=1, content=b"four")
        for each in (problem, await refused(near.user.audio.PutChunk(chunk))):
            assert (each.code, each.reason) == (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_MEETING_ELSEWHERE")
            assert each.retry_after_seconds == 1.0
            assert each.metadata["owner"] == near.behind.address


async def test_replicas_whose_keys_differ_tell_the_caller_nothing_of_it() -> None:
    async with running(service_key="another-key-of-the-tests") as near:
        chunk = pb.PutChunkRequest(meeting_id="m", sequence=1, content=b"four")
        assert (await refused(near.user.audio.PutChunk(chunk))).reason == "ERROR_REASON_MEETING_ELSEWHERE"


async def test_an_owner_that_does_not_read_stops_the_client() -> None:
    done = asyncio.Event()

    async def idle(context: Any) -> None:
        await done.wait()

    async with running(idle) as near:
        with held(near.user.audio.StreamAudio()) as call:
            await begin(call)
            sent = await written(lambda: call.write(BIG))
            assert sent * 32_000 < 4_000_000
        done.set()


async def test_a_client_that_does_not_read_stops_the_owner() -> None:
    sent = 0
    response = pb.StreamAudioResponse(status=pb.AudioStatus(warning="x" * 32_000))

    async def flood(context: Any) -> None:
        nonlocal sent
        while True:
            await context.write(response)
            sent += 1

    async with running(flood) as near:
        with held(near.user.audio.StreamAudio()) as call:
            await begin(call)
            await at_rest(lambda: sent)
            assert sent * 32_000 < 24_000_000
        await eventually(lambda: near.owner.open_streams == 0)


async def written(write: Callable[[], Any]) -> int:
    """Write until it blocks; returns how many messages went."""
    count = 0

    async def flood() -> None:
        nonlocal count
        while True:
            await write()
            count += 1

    flooding = asyncio.create_task(flood())
    await at_rest(lambda: count)
    flooding.cancel()
    await asyncio.wait((flooding,))
    return count


async def at_rest(value: Callable[[], int]) -> None:
    """Wait until a number has begun to grow and does so no more."""
    await eventually(lambda: value() > 0, seconds=SECONDS)
    async with asyncio.timeout(SECONDS):
        before = -1
        while before != value():
            before = value()
            await asyncio.sleep(0.5)


async def test_the_word_to_go_elsewhere_passes_through_and_is_said_by_the_door_too() -> None:
    drain = pb.StreamAudioResponse(drain=pb.AudioDrain(reason="the owner is stopping"))
    go_on = asyncio.Event()

    async def leave(context: Any) -> None:
        await context.write(drain)
        await go_on.wait()

    async with running(leave) as near, asyncio.timeout(SECONDS):
        with held(near.user.audio.StreamAudio()) as call:
            await begin(call)
            assert await call.read() == drain
            near.draining.set()
            assert (await call.read()).drain.reason == "shutting down"
            go_on.set()
            assert await rest(call) == []


async def test_audio_finds_its_owner_while_the_database_is_away() -> None:
    async with running() as near:
        chunk = pb.PutChunkRequest(meeting_id="m", sequence=1, content=b"four")
        await near.user.audio.PutChunk(chunk)
        near.register.away = True
        assert (await near.user.audio.PutChunk(chunk)).end_ms == 4
        with held(near.user.audio.StreamAudio()) as call:
            await begin(call)
        unknown = pb.PutChunkRequest(meeting_id="another", sequence=1, content=b"four")
        assert (await refused(near.user.audio.PutChunk(unknown))).reason == "ERROR_REASON_DEPENDENCY_UNAVAILABLE"


async def test_one_channel_serves_all_calls_and_is_closed_when_unused() -> None:
    async with running() as near:
        chunk = pb.PutChunkRequest(meeting_id="m", sequence=1, content=b"four")
        with held(near.user.audio.StreamAudio()) as call:
            await begin(call)
            await asyncio.gather(*(near.user.audio.PutChunk(chunk) for _ in range(20)))
            assert len(near.peers) == 1
            await near.peers.close_idle(0)
            assert len(near.peers) == 1
        await eventually(lambda: near.owner.open_streams == 0)

        async def closed() -> bool:
            await near.peers.close_idle(0)
            return len(near.peers) == 0

        await eventually(closed)
        await near.user.audio.PutChunk(chunk)
