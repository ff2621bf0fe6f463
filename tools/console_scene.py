"""A mesh with something in every view of the console: live meetings, a report, a dead letter, an open breaker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx2

from agent.common.v1 import audio_pb2
from agent.connector.v1 import connector_service_pb2 as connector
from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceStub
from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceStub
from kit.ids import new_id
from kit.rpc.client import open_channel
from mesh.demo.caller import Caller, open_caller
from mesh.demo.reference import Reference, read_reference
from mesh.mesh import Mesh, open_mesh
from tools.reach import ask
from tools.speech import pieces, spoken, wav

VIEWER_KEY = "scene-viewer-key"
BREAKER = "sberjazz_mock"
FAILURES = 5
FRAME_SECONDS = 0.2
GONE, TAKEN = 410, 204
_SAMPLES_PER_SECOND = 16_000
_CALL_TITLE = "Backend engineer, second interview"
_RESULT_SECONDS = 180.0


@dataclass
class Receiver:
    """Gets the webhooks. `status` is what it answers: at first that nobody lives there, which makes dead letters."""

    url: str = ""
    status: int = GONE
    taken: int = 0
    """Webhooks that were accepted."""


@dataclass
class Scene:
    """What goes on."""

    mesh: Mesh
    receiver: Receiver
    call_id: str = ""
    """The meeting with the call in it."""
    others: list[str] = field(default_factory=list)
    """The other live meetings."""
    finished_id: str = ""
    """The meeting that is over; its report could not be delivered."""
    callers: list[Caller] = field(default_factory=list)

    @property
    def target(self) -> str:
        """Address for consoles."""
        return self.mesh.room("gateway").address

    async def begin_to_speak(self) -> None:
        """Let the callers talk."""
        for caller in self.callers:
            await caller.tell("start")
        for caller in self.callers:
            await caller.told("started")


@asynccontextmanager
async def open_scene(
    data: Path, *, meetings: Sequence[tuple[str, str]] = (), progress: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Scene]:
    """Run a mesh for the block, in which two people are in a call with the recorder and do not speak yet.

    Args:
        data: directory of the mesh.
        meetings: title and language of further live meetings, in each of which one person speaks on and on.
        progress: told each step.
    """
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(_open_receiver())
        environment = {
            "AUTH_MODE": "api_key",
            "LOG_LEVEL": "info",
            "REPORT_WEBHOOK_SECRET": "whsec_" + "c2NlbmUtb2YtdGhlLWNvbnNvbGUtMDAwMQ==",
            "REPORT_WEBHOOK_URL": receiver.url,
            "SBERJAZZ_MOCK_BASE": "http://127.0.0.1:9",
            "SERVICE_READ_API_KEYS": VIEWER_KEY,
            "STT_PROVIDER": "demo",
        }
        opening = open_mesh(data, free_ports=True, environment=environment, progress=progress)
        mesh = await stack.enter_async_context(opening)
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=mesh.url, timeout=60, trust_env=False))
        scene = Scene(mesh, receiver)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        ending = asyncio.Event()
        try:
            for title, language in meetings:
                scene.others.append(meeting := await _start(http, mesh, title, language))
                offset = 20.0 * len(scene.others)
                tasks.create_task(_speak(mesh, meeting, language, offset, ending), name=f"scene.{meeting}")
            progress("a meeting that is over, and a report that nobody takes")
            scene.finished_id = await _hold_finished(http, mesh)
            progress("a provider that is away")
            await _open_breaker(mesh, await _start(http, mesh, "Supplier call", "en"))
            progress("a call of two people and the recorder")
            scene.call_id = await _start(http, mesh, _CALL_TITLE, "en")
            log = stack.enter_context((data / "callers.log").open("wb"))
            reference = read_reference("en")
            await _join(stack, scene, reference, log)
            yield scene
        finally:
            ending.set()


async def _start(http: httpx2.AsyncClient, mesh: Mesh, title: str, language: str) -> str:
    body = {"title": title, "mode": "realtime", "language": language, "auto_join_connector": False}
    return str((await ask(http, mesh.keys.user, "POST", "/v1/meetings/start", body=body))["meeting_id"])


async def _join(stack: AsyncExitStack, scene: Scene, reference: Reference, log: Any) -> None:
    mesh = scene.mesh
    for speaker in reference.speakers:
        opening = open_caller(speaker, reference, gateway=mesh.url, room=scene.call_id, key=mesh.keys.user, log=log)
        scene.callers.append(await stack.enter_async_context(opening))
    for caller in scene.callers:
        await caller.told("joined", 60)
    async with _connector(mesh) as stub:
        await stub.Join(connector.JoinRequest(meeting_id=scene.call_id, language="en"), timeout=30)
    for caller in scene.callers:
        await caller.told("ready")


async def _hold_finished(http: httpx2.AsyncClient, mesh: Mesh) -> str:
    """Upload a meeting and wait until its report is there and its webhook was refused."""
    body = {"title": "Customer interview, Nordwind", "mode": "upload", "language": "en"}
    meeting = str((await ask(http, mesh.keys.user, "POST", "/v1/meetings/start", body=body))["meeting_id"])
    chunks = pieces(spoken(30, language="en"), 10.0)
    for number, pcm in enumerate(chunks, start=1):
        query = {"sequence": number, "participant_id": "dana", "last": "true" if number == len(chunks) else "false"}
        await ask(http, mesh.keys.user, "POST", f"/v1/meetings/{meeting}/chunks", content=wav(pcm), query=query)
    async with asyncio.timeout(_RESULT_SECONDS):
        while True:
            if await _dead(http, mesh):
                return meeting
            await asyncio.sleep(0.5)


async def _dead(http: httpx2.AsyncClient, mesh: Mesh) -> int:
    answer = await ask(http, mesh.keys.service, "GET", "/v1/admin/queues/health")
    return sum(int(queue.get("dead", 0)) for queue in answer.get("queues", []))


async def _open_breaker(mesh: Mesh, meeting: str) -> None:
    """Ask for a provider that does not answer until nobody asks it any more."""
    async with _connector(mesh) as stub:
        for _ in range(FAILURES):
            with contextlib.suppress(grpc.aio.AioRpcError):  # that it cannot be joined is the point
                await stub.Join(connector.JoinRequest(meeting_id=meeting, provider=BREAKER), timeout=30)


@asynccontextmanager
async def _connector(mesh: Mesh) -> AsyncIterator[Any]:
    async with open_channel(mesh.room("connector").address, api_key=mesh.keys.service) as channel:
        yield ConnectorServiceStub(channel)


async def _speak(mesh: Mesh, meeting: str, language: str, offset: float, ending: asyncio.Event) -> None:
    """Stream the sample interview's first voice at the pace of speech until the end."""
    async with open_channel(mesh.room("ingest").address, api_key=mesh.keys.user) as channel:
        call = AudioServiceStub(channel).StreamAudio()
        opening = audio.SessionOpen(meeting_id=meeting, session_id=new_id(), epoch=1)
        await call.write(audio.StreamAudioRequest(open=opening))
        listening = asyncio.create_task(_listen(call), name="scene.listen")
        name = {"en": "Alice Moore", "ru": "Анна Орлова"}[language]
        track = audio.TrackStart(
            track=1, participant_id="speaker-1", display_name=name, basis=audio_pb2.SPEAKER_BASIS_OWN_TRACK
        )
        await call.write(audio.StreamAudioRequest(sequence=1, track=track))
        frames = pieces(spoken(600, language=language, offset=offset), FRAME_SECONDS)
        began, start = time.monotonic(), 0
        for number, pcm in enumerate(frames, start=2):
            frame = audio.AudioFrame(track=1, start_sample=start, pcm=pcm)
            await call.write(audio.StreamAudioRequest(sequence=number, audio=frame))
            start += len(pcm) // 2
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, began + start / _SAMPLES_PER_SECOND - time.monotonic())):
                    await ending.wait()
            if ending.is_set():
                break
        call.cancel()
        listening.cancel()


async def _listen(call: Any) -> None:
    """Take the acknowledgements; a stream of the scene is never resumed."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        async for _ in call:
            pass


@asynccontextmanager
async def _open_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                await reader.readexactly(size)
            receiver.taken += receiver.status == TAKEN
            writer.write(f"HTTP/1.1 {receiver.status} x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode())
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks/meetings"
    async with server:
        yield receiver
