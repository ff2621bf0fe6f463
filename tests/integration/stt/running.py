"""The real room on a free port, and a client that speaks the stream's contract."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from pydantic import SecretStr

from agent.ops.v1 import ops_service_pb2_grpc as ops_grpc
from agent.stt.v1 import stt_service_pb2 as pb
from agent.stt.v1 import stt_service_pb2_grpc as pb_grpc
from kit.auth.authenticator import ApiKeys
from kit.auth.keys import KeyRing
from kit.lifecycle import Shutdown
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from services.stt.app import open_stt
from services.stt.audio import Pcm
from services.stt.settings import SttSettings

_KEY = "service-key-of-the-tests"
_PIECE_SAMPLES = 1_600
SECONDS = 20.0
"""Bound of every wait."""


@dataclass(frozen=True, slots=True)
class RunningStt:
    """The room and stubs of it."""

    stub: Any
    ops: Any
    shutdown: Shutdown
    address: str


@asynccontextmanager
async def running_stt(**settings: Any) -> AsyncIterator[RunningStt]:
    """Serve with the demonstration model, unless the settings say otherwise."""
    asked: dict[str, Any] = {
        "provider": "demo",
        "threads": 2,
        "listen": "127.0.0.1:0",
        "metrics_listen": "127.0.0.1:0",
    } | settings
    shutdown = Shutdown()
    auth = ApiKeys(KeyRing((), (SecretStr(_KEY),)))
    async with (
        open_stt(SttSettings(**asked), auth, shutdown) as room,
        open_channel(room.server.address, api_key=_KEY) as channel,
    ):
        yield RunningStt(
            pb_grpc.SpeechServiceStub(channel), ops_grpc.OpsServiceStub(channel), shutdown, room.server.address
        )


@asynccontextmanager
async def dialled(address: str) -> AsyncIterator[Any]:
    """A stub of the service on a connection of its own."""
    async with open_channel(address, api_key=_KEY) as channel:
        yield pb_grpc.SpeechServiceStub(channel)


@dataclass(slots=True)
class Track:
    """The client's end of one stream."""

    call: Any
    position: int
    received: list[pb.StreamingRecognizeResponse] = field(default_factory=list)

    async def send(self, **message: Any) -> None:
        """Send one message: `send(end=pb.SpeechEnd())`."""
        await self.call.write(pb.StreamingRecognizeRequest(**message))

    async def say(self, pcm: Pcm, sizes: Iterable[int] = (_PIECE_SAMPLES,)) -> None:
        """Send samples that follow on, in pieces of these sizes in turn."""
        rest, turns = pcm, list(sizes)
        turn = 0
        while len(rest):
            piece, rest = rest[: turns[turn % len(turns)]], rest[turns[turn % len(turns)] :]
            await self.send(audio=pb.SpeechAudio(start_sample=self.position, pcm=piece.astype("<i2").tobytes()))
            self.position += len(piece)
            turn += 1

    async def keep_silent(self, samples: int) -> None:
        """Send a span without samples."""
        await self.send(silence=pb.SpeechSilence(start_sample=self.position, samples=samples))
        self.position += samples

    async def end(self) -> list[pb.Final]:
        """Finish the stream and return its finals."""
        await self.send(end=pb.SpeechEnd())
        await self.until(lambda message: message.HasField("finished"))
        async with asyncio.timeout(SECONDS):
            assert await self.call.read() is grpc.aio.EOF
        return self.finals

    async def until(self, wanted: Callable[[pb.StreamingRecognizeResponse], bool]) -> pb.StreamingRecognizeResponse:
        """Read until a message is the wanted one; fails when the stream ends before."""
        async with asyncio.timeout(SECONDS):
            while (message := await self.call.read()) is not grpc.aio.EOF:
                self.received.append(message)
                if wanted(message):
                    return self.received[-1]
        code = await self.call.code()
        raise AssertionError(f"the stream ended with {code} before the message came")

    async def failure(self) -> grpc.aio.AioRpcError:
        """Read until the stream fails, and return how."""
        try:
            async with asyncio.timeout(SECONDS):
                while (message := await self.call.read()) is not grpc.aio.EOF:
                    self.received.append(message)
        except grpc.aio.AioRpcError as error:
            return error
        raise AssertionError("the stream ended without failing")

    @property
    def kinds(self) -> list[str]:
        """Names of the messages received."""
        return [str(message.WhichOneof("message")) for message in self.received]

    @property
    def finals(self) -> list[pb.Final]:
        """Finals received."""
        return [message.final for message in self.received if message.HasField("final")]


@asynccontextmanager
async def open_track(stt: RunningStt, **opening: Any) -> AsyncIterator[Track]:
    """Open a stream and wait until it is opened: `open_track(stt, language="en")`."""
    with held(stt.stub.StreamingRecognize()) as call:
        track = Track(call, opening.get("start_sample", 0))
        await track.send(open=pb.RecognizeOpen(**opening))
        await track.until(lambda message: message.HasField("opened"))
        yield track


async def recognise(
    stt: RunningStt, pcm: Pcm, *, sizes: Iterable[int] = (_PIECE_SAMPLES,), **opening: Any
) -> list[pb.Final]:
    """Send a whole track and return its finals."""
    async with open_track(stt, **opening) as track:
        async with asyncio.TaskGroup() as tasks:
            # Reading beside writing, as a client must: neither side's buffer is endless.
            reading = tasks.create_task(track.until(lambda message: message.HasField("finished")), name="test.read")
            await track.say(pcm, sizes)
            await track.send(end=pb.SpeechEnd())
            await reading
        return track.finals
