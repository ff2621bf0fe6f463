"""SIGTERM: health says so first, every open stream is told, the process is gone within its grace and exits 0."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from agent.console.v1 import console_service_pb2 as console
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceStub
from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceStub
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from agent.report.v1 import report_service_pb2 as reports
from agent.report.v1.report_service_pb2_grpc import ReportServiceStub
from agent.stt.v1 import stt_service_pb2 as speech
from agent.stt.v1.stt_service_pb2_grpc import SpeechServiceStub
from kit.ids import new_id
from kit.rpc.client import open_channel
from tests.e2e.rooms.process import ROOMS, SERVICE_KEY, USER_KEY, RoomProcess, problem_of, room_process
from tests.kit_server import health_stub
from tests.postgres import fresh_url

GRACE_SECONDS = 6.0
GRACE = {"GRPC_GRACE_SECONDS": str(GRACE_SECONDS)}
PROMPT_SECONDS = 3.0
"""A room with nothing to finish does not use its grace up."""


@pytest.mark.parametrize("room", ROOMS)
async def test_with_nothing_open_it_is_gone_at_once(room: str):
    async with room_process(room, GRPC_GRACE_SECONDS="30") as process:
        ended = await process.stop()
    assert ended.status == 0, ended.output + ended.errors
    assert ended.stopping_seconds < PROMPT_SECONDS
    assert ended.errors == ""
    in_order = [event for event in ended.events if event in {"shutdown_requested", "rpc_draining", "stopped"}]
    assert in_order == ["shutdown_requested", "rpc_draining", "stopped"]
    assert {"crashed", "event_engine_undecided"}.isdisjoint(ended.events)


@pytest.mark.parametrize("room", ROOMS)
async def test_health_and_operators_are_told_before_calls_are_refused(room: str):
    async with room_process(room, **GRACE) as process, open_channel(process.address, api_key=SERVICE_KEY) as channel:
        health = health_stub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch: Any = OpsServiceStub(channel).Watch(ops.WatchRequest())
        assert (await watch.read()).room.state == "serving"

        async def follow_health() -> list[int]:
            return [answer.status async for answer in _answers(health)]

        async def follow_room() -> list[str]:
            return [status.room.state async for status in _answers(watch)]

        ended, healths, states = await asyncio.gather(process.stop(), follow_health(), follow_room())
    assert ended.status == 0, ended.output + ended.errors
    assert ended.stopping_seconds < PROMPT_SECONDS, "watchers do not hold a room up"
    assert healths == [health_pb2.HealthCheckResponse.NOT_SERVING]
    assert states[-1] == "draining"
    assert await health.code() is grpc.StatusCode.OK
    assert await watch.code() is grpc.StatusCode.OK


async def test_stt_asks_its_streams_to_go_and_finishes_the_ones_that_do():
    async with room_process("stt", **GRACE) as stt, open_channel(stt.address, api_key=SERVICE_KEY) as channel:
        leaving, staying = await _recognising(channel), await _recognising(channel)

        async def leave() -> list[str]:
            kinds = [await _kind_after(leaving, {"cursor", "status"})]
            await leaving.write(speech.StreamingRecognizeRequest(end=speech.SpeechEnd()))
            return [*kinds, *[answer.WhichOneof("message") async for answer in _answers(leaving)]]

        (ended, kinds, stayed) = await asyncio.gather(stt.stop(), leave(), _until_cut(staying))
    assert ended.status == 0, ended.output + ended.errors
    assert ended.stopping_seconds < GRACE_SECONDS
    assert kinds[0] == "drain"
    assert kinds[-1] == "finished"
    assert await leaving.code() is grpc.StatusCode.OK
    assert stayed.count("drain") == 1, "the deaf one was told as well"


async def test_ingest_asks_callers_and_watchers_to_go():
    async with room_process("ingest", **GRACE) as ingest, open_channel(ingest.address, api_key=USER_KEY) as channel:
        stub = MeetingServiceStub(channel)
        started = await stub.StartMeeting(meetings.StartMeetingRequest(mode="upload", title="Drain"))
        watch: Any = stub.WatchMeeting(meetings.WatchMeetingRequest(meeting_id=started.meeting_id))
        assert (await watch.read()).WhichOneof("event") == "meeting"
        leaving = await _speaking(channel, started.meeting_id)
        staying = await _speaking(channel, started.meeting_id)

        async def leave() -> str:
            kind = await _kind_after(leaving, {"durable", "status"})
            await leaving.done_writing()
            return kind

        async def watched() -> tuple[grpc.StatusCode, str]:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _frames(watch)
            return problem_of(caught.value)

        ended, kind, told, stayed = await asyncio.gather(ingest.stop(), leave(), watched(), _until_cut(staying))
    assert ended.status == 0, ended.output + ended.errors
    assert ended.stopping_seconds < GRACE_SECONDS
    assert kind == "drain"
    assert told == (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_DRAINING")
    assert stayed.count("drain") == 1, "the deaf one was told as well"


async def test_report_asks_followers_to_go():
    with fresh_url() as url:
        async with room_process("ingest", DATABASE_URL=url) as ingest:
            meeting_id = await _meeting(ingest)
        async with (
            room_process("report", DATABASE_URL=url, **GRACE) as report,
            open_channel(report.address, api_key=SERVICE_KEY) as channel,
        ):
            call: Any = ReportServiceStub(channel).FollowTranscript()
            await call.write(reports.FollowTranscriptRequest(open=reports.FollowOpen(meeting_id=meeting_id)))
            assert (await call.read()).WhichOneof("message") == "opened"
            ended, kinds = await asyncio.gather(report.stop(), _kinds(call))
    assert ended.status == 0, ended.output + ended.errors
    assert ended.stopping_seconds < PROMPT_SECONDS
    assert kinds == ["drain"]
    assert await call.code() is grpc.StatusCode.OK


async def test_the_gateway_lets_consoles_sockets_and_streams_go():
    async with (
        room_process("ingest") as ingest,
        room_process("gateway", INGEST_TARGET=ingest.address, **GRACE) as gateway,
        open_channel(gateway.address, api_key=SERVICE_KEY) as channel,
        httpx2.AsyncClient(base_url=gateway.url, headers={"x-api-key": USER_KEY}, timeout=20) as client,
    ):
        meeting_id = await _meeting(ingest)
        watching: Any = ConsoleServiceStub(channel).WatchConsole(console.WatchConsoleRequest())
        assert (await watching.read()).WhichOneof("frame") == "snapshot"
        async with AsyncExitStack() as stack:
            watcher = await stack.enter_async_context(_socket(gateway))
            await watcher.send(json.dumps({"type": "watch", "meeting_id": meeting_id, "api_key": USER_KEY}))
            assert json.loads(await watcher.recv())["type"] == "meeting"
            speaker = await stack.enter_async_context(_socket(gateway))
            opening = {"type": "open", "meeting_id": meeting_id, "session_id": new_id(), "epoch": 1}
            await speaker.send(json.dumps({**opening, "api_key": USER_KEY}))
            assert json.loads(await speaker.recv())["type"] == "opened"
            silent = await stack.enter_async_context(_socket(gateway))
            stream = await stack.enter_async_context(client.stream("GET", f"/v1/meetings/{meeting_id}/watch"))
            assert stream.status_code == 200

            async def read_stream() -> str:
                lines = [line async for line in stream.aiter_lines() if line]
                return lines[-1]

            ended, codes, _, last = await asyncio.gather(
                gateway.stop(),
                asyncio.gather(*(_close_code(one) for one in (watcher, speaker, silent))),
                _frames(watching),
                read_stream(),
            )
    assert ended.status == 0, ended.output + ended.errors
    assert ended.stopping_seconds < GRACE_SECONDS
    assert codes == [1012, 1012, 1012], "come back, says the code"
    assert await watching.code() is grpc.StatusCode.OK
    assert "crashed" not in ended.output
    assert last, "the stream had events"


async def test_a_second_signal_does_not_wait_for_the_grace():
    async with (
        room_process("stt", GRPC_GRACE_SECONDS="30") as stt,
        open_channel(stt.address, api_key=SERVICE_KEY) as channel,
    ):
        call = await _recognising(channel)
        began = time.monotonic()
        stopping = asyncio.create_task(stt.stop())
        assert await _kind_after(call, {"cursor", "status"}) == "drain"
        stopping.cancel()
        ended = await stt.stop()
    assert ended.status == 128 + 15
    assert time.monotonic() - began < PROMPT_SECONDS
    assert ended.sentences == ["stt: SIGTERM again: not waiting any longer"]


async def _recognising(channel: grpc.aio.Channel) -> Any:
    """Open a stream and say one second of nothing."""
    call: Any = SpeechServiceStub(channel).StreamingRecognize()
    await call.write(speech.StreamingRecognizeRequest(open=speech.RecognizeOpen(language="en")))
    assert (await call.read()).WhichOneof("message") == "opened"
    await call.write(speech.StreamingRecognizeRequest(audio=speech.SpeechAudio(pcm=bytes(32_000))))
    return call


async def _meeting(ingest: RoomProcess) -> str:
    async with open_channel(ingest.address, api_key=USER_KEY) as channel:
        started = await MeetingServiceStub(channel).StartMeeting(meetings.StartMeetingRequest(mode="upload"))
        return str(started.meeting_id)


async def _speaking(channel: grpc.aio.Channel, meeting_id: str) -> Any:
    """Open a session of one track and say a second of nothing, durable."""
    call: Any = AudioServiceStub(channel).StreamAudio()
    opening = audio.SessionOpen(meeting_id=meeting_id, session_id=new_id(), epoch=1)
    await call.write(audio.StreamAudioRequest(open=opening))
    assert (await call.read()).WhichOneof("message") == "opened"
    track = audio.TrackStart(track=1, participant_id=new_id(), display_name="Somebody")
    await call.write(audio.StreamAudioRequest(sequence=1, track=track))
    await call.write(audio.StreamAudioRequest(sequence=2, audio=audio.AudioFrame(track=1, pcm=bytes(32_000))))
    while (await call.read()).durable.sequence < 2:
        pass
    return call


async def _answers(call: Any) -> AsyncIterator[Any]:
    """Go on reading a call from which something was read before."""
    while (answer := await call.read()) is not grpc.aio.EOF:
        yield answer


async def _kind_after(call: Any, passing: set[str]) -> str:
    """Return the first kind of message that is not one of those that come and go."""
    while (kind := (await call.read()).WhichOneof("message")) in passing:
        pass
    return str(kind)


async def _kinds(call: Any) -> list[str]:
    return [answer.WhichOneof("message") async for answer in _answers(call)]


async def _until_cut(call: Any) -> list[str]:
    """Read on without ever leaving; the grace ends that, as a cancellation or a lost connection."""
    kinds: list[str] = []
    try:
        async for answer in _answers(call):
            kinds.append(answer.WhichOneof("message"))
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        if not await call.code():
            raise
    return kinds


async def _frames(call: Any) -> int:
    return len([frame async for frame in _answers(call)])


@asynccontextmanager
async def _socket(gateway: RoomProcess) -> AsyncIterator[ClientConnection]:
    async with connect(gateway.url.replace("http", "ws", 1) + "/v1/ws", open_timeout=20) as socket:
        yield socket


async def _close_code(socket: ClientConnection) -> int:
    try:
        async with asyncio.timeout(20):
            while True:
                await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0
