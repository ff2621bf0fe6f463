"""The real room on a free port with a real database, scripted neighbours, and a client that loses nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import audio_service_pb2 as pb
from agent.ingest.v1 import audio_service_pb2_grpc as audio_grpc
from agent.ingest.v1 import meeting_service_pb2 as mpb
from agent.ingest.v1 import meeting_service_pb2_grpc as meeting_grpc
from agent.ingest.v1 import recorder_service_pb2_grpc as recorder_grpc
from agent.ops.v1 import ops_service_pb2_grpc as ops_grpc
from kit.auth.authenticator import ApiKeys
from kit.auth.keys import KeyRing
from kit.blobs import BlobStore, Bucket, open_blobs
from kit.db.engine import Database, open_database
from kit.lifecycle import Shutdown
from kit.room import Room
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from kit.rpc.status import RpcProblem, error_of
from kit.settings import TargetSettings
from services.ingest.app import Options, open_ingest
from services.ingest.settings import IngestSettings, MeetingSettings, QuickRecordingSettings, RetentionSettings
from tests.fakes.report_server import Report, serving_report
from tests.fakes.stt_server import Speech, serving_speech

USER_KEY = "user-key-of-the-tests"
SERVICE_KEY = "service-key-of-the-tests"
SECONDS = 30.0
"""Bound of every wait."""
FRAME = 1_600

Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Stubs:
    """What clients of the room call."""

    meetings: Any
    audio: Any
    internal: Any
    recorder: Any
    ops: Any


def stubs(channel: grpc.aio.Channel) -> Stubs:
    """Return the stubs on a channel."""
    return Stubs(
        meetings=meeting_grpc.MeetingServiceStub(channel),
        audio=audio_grpc.AudioServiceStub(channel),
        internal=audio_grpc.InternalAudioServiceStub(channel),
        recorder=recorder_grpc.RecorderServiceStub(channel),
        ops=ops_grpc.OpsServiceStub(channel),
    )


@dataclass(slots=True)
class RunningIngest:
    """The room with a user's and a service's stubs."""

    room: Room
    shutdown: Shutdown
    user: Stubs
    service: Stubs
    database: Database
    blobs: BlobStore
    data: Path


@asynccontextmanager
async def serving_ingest(
    url: str,
    data: Path,
    *,
    stt_port: int = 1,
    report_port: int = 1,
    connector_port: int = 1,
    meeting: MeetingSettings | None = None,
    retention: RetentionSettings | None = None,
    quick: QuickRecordingSettings | None = None,
    journals: Path | None = None,
    bucket: Bucket | None = None,
    **settings: Any,
) -> AsyncIterator[RunningIngest]:
    """Serve on a free port; ports of neighbours that are not there refuse connections."""
    asked: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "metrics_listen": "127.0.0.1:0",
        "min_free_mb": 1,
        "commit_interval_seconds": 0.02,
        "coverage_interval_seconds": 0.1,
        "session_timeout_seconds": 20.0,
    } | settings
    shutdown = Shutdown()
    auth = ApiKeys(KeyRing([SecretStr(USER_KEY)], [SecretStr(SERVICE_KEY)]))
    targets = TargetSettings(
        stt_target=f"127.0.0.1:{stt_port}",
        report_target=f"127.0.0.1:{report_port}",
        connector_target=f"127.0.0.1:{connector_port}",
    )
    options = Options(
        IngestSettings(**asked),
        meeting or MeetingSettings(),
        targets,
        data,
        SERVICE_KEY,
        retention=retention,
        quick=quick,
        journals=journals,
    )
    async with (
        open_database(url, room="tests") as database,
        open_blobs("s3" if bucket else "local_fs", data / "blobs", bucket=bucket) as blobs,
        open_ingest(options, database, blobs, auth, shutdown) as room,
        open_channel(room.server.address, api_key=USER_KEY) as user,
        open_channel(room.server.address, api_key=SERVICE_KEY) as service,
    ):
        yield RunningIngest(room, shutdown, stubs(user), stubs(service), database, blobs, data)


@dataclass(slots=True)
class Neighbourhood:
    """The room and its neighbours."""

    ingest: RunningIngest
    speech: Speech
    report: Report


@asynccontextmanager
async def running_ingest(url: str, data: Path, **settings: Any) -> AsyncIterator[Neighbourhood]:
    """Serve with scripted speech recognition and reports."""
    speech, report = Speech(), Report()
    async with AsyncExitStack() as stack:
        stt_port = await stack.enter_async_context(serving_speech(speech))
        report_port = await stack.enter_async_context(serving_report(report))
        opening = serving_ingest(url, data, stt_port=stt_port, report_port=report_port, **settings)
        yield Neighbourhood(await stack.enter_async_context(opening), speech, report)


async def start_meeting(client: Stubs, **fields: Any) -> str:
    """Make a meeting; returns its id."""
    return str((await client.meetings.StartMeeting(mpb.StartMeetingRequest(title="Interview", **fields))).meeting_id)


def speech(samples: int, seed: int) -> Pcm:
    """Return sound that the scripted recogniser takes for speech."""
    return np.random.default_rng(seed).integers(1, 2_000, samples).astype(np.int16)


def talk(utterances: int, seed: int, *, spoken: int = 8_000, pause: int = 4_000) -> Pcm:
    """Return utterances with pauses between them."""
    pieces = []
    for number in range(utterances):
        pieces += [speech(spoken, seed * 1_000 + number), np.zeros(pause, np.int16)]
    return np.concatenate(pieces)


@dataclass
class Script:
    """The messages of a session, numbered as they are added."""

    requests: list[pb.StreamAudioRequest] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)

    def add(self, **message: Any) -> None:
        """Add one message: `add(end=pb.SessionEnd())`."""
        self.requests.append(pb.StreamAudioRequest(sequence=len(self.requests) + 1, **message))

    def track(self, number: int, participant_id: str, *, start: int = 0, language: str = "") -> None:
        """Introduce a participant."""
        self.positions[number] = start
        self.add(
            track=pb.TrackStart(
                track=number,
                participant_id=participant_id,
                display_name=participant_id.title(),
                basis=audio_pb2.SPEAKER_BASIS_OWN_TRACK,
                language=language,
                start_sample=start,
            )
        )

    def say(self, number: int, pcm: Pcm, kind: int = audio_pb2.AUDIO_KIND_OK) -> None:
        """Add samples that follow on."""
        for offset in range(0, len(pcm), FRAME):
            self.frame(number, pcm[offset : offset + FRAME], kind)

    def frame(self, number: int, pcm: Pcm, kind: int = audio_pb2.AUDIO_KIND_OK) -> None:
        """Add one message of samples."""
        start = self.positions[number]
        self.positions[number] += len(pcm)
        self.add(audio=pb.AudioFrame(track=number, start_sample=start, pcm=pcm.astype("<i2").tobytes(), kind=kind))  # type: ignore[arg-type]

    def gap(self, number: int, samples: int, reason: int) -> None:
        """Add a span without samples."""
        start = self.positions[number]
        self.positions[number] += samples
        self.add(gap=pb.AudioGap(track=number, start_sample=start, end_sample=start + samples, reason=reason))  # type: ignore[arg-type]

    def leave(self, number: int) -> None:
        """End a track where it stands."""
        self.add(track_end=pb.TrackEnd(track=number, end_sample=self.positions[number]))

    def end(self) -> None:
        """End the session where its longest track stands."""
        self.add(end=pb.SessionEnd(end_sample=max(self.positions.values())))


def interview(seed: int = 1, utterances: int = 6) -> Script:
    """Return two people who speak in turn, a message of the one after a message of the other."""
    script = Script()
    script.track(1, "anna")
    script.track(2, "boris")
    one, other = talk(utterances, seed), talk(utterances, seed + 1)
    other = np.concatenate([np.zeros(6_000, np.int16), other])[: len(one)]
    for offset in range(0, len(one), FRAME):
        script.frame(1, one[offset : offset + FRAME])
        script.frame(2, other[offset : offset + FRAME])
    script.leave(1)
    script.leave(2)
    script.end()
    return script


@asynccontextmanager
async def connected(client: Stubs, meeting_id: str, session_id: str, epoch: int = 1) -> AsyncIterator[tuple[Any, Any]]:
    """Open a session for the block; yields the call and the answer to `open`."""
    with held(client.audio.StreamAudio()) as call:
        opening = pb.SessionOpen(
            meeting_id=meeting_id, session_id=session_id, epoch=epoch, start_time_ms=1_700_000_000_000
        )
        async with asyncio.timeout(SECONDS):
            await call.write(pb.StreamAudioRequest(open=opening))
            answer = await call.read()
        if answer is grpc.aio.EOF:
            await rest(call)
        yield call, answer.opened


async def refused(awaitable: Awaitable[Any]) -> RpcProblem:
    """Return the problem that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return error_of(caught.value)


async def rest(call: Any) -> list[Any]:
    """Return what is left on a stream.

    Raises:
        AioRpcError: the stream ended with a status.
    """
    responses = []
    async with asyncio.timeout(SECONDS):
        while (response := await call.read()) is not grpc.aio.EOF:
            responses.append(response)
        if await call.code() is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(
                await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
            )
    return responses


async def until_durable(call: Any, sequence: int) -> int:
    """Read until a message is on disk; returns how far the server was."""
    async with asyncio.timeout(SECONDS):
        while (response := await call.read()) is not grpc.aio.EOF:
            if response.HasField("durable") and response.durable.sequence >= sequence:
                return int(response.durable.sequence)
    raise AssertionError("the stream closed before that")


async def send(
    client: Stubs, meeting_id: str, requests: Sequence[pb.StreamAudioRequest], session_id: str = "s"
) -> None:
    """Bring a whole session to the room over one connection."""
    async with connected(client, meeting_id, session_id) as (call, opened):
        reading = asyncio.create_task(until_durable(call, len(requests)))
        for request in requests[opened.next_sequence - 1 :]:
            await call.write(request)
        await reading


async def finished(client: Stubs, meeting_id: str) -> mpb.Meeting:
    """Wait until a meeting is finished."""
    async with asyncio.timeout(SECONDS):
        while True:
            request = mpb.GetMeetingRequest(meeting_id=meeting_id)
            meeting = (await client.meetings.GetMeeting(request, wait_for_ready=True)).meeting
            if meeting.state == "finished":
                return meeting  # type: ignore[no-any-return]
            await asyncio.sleep(0.02)


async def segments(client: Stubs, meeting_id: str) -> list[Any]:
    """Return a finished meeting's segments, as a watcher gets them."""
    found = []
    with held(client.meetings.WatchMeeting(mpb.WatchMeetingRequest(meeting_id=meeting_id))) as watching:
        async with asyncio.timeout(SECONDS):
            async for event in watching:
                if event.HasField("segment"):
                    found.append(event.segment)
                if event.HasField("coverage"):
                    return found
    return found


def spoken(script: Script) -> dict[str, list[str]]:
    """Return the texts that each participant's samples must give."""
    from tests.fakes.stt_server import Ear

    names: dict[int, str] = {}
    ears: dict[int, Ear] = {}
    texts: dict[str, list[str]] = {}
    for request in script.requests:
        match request.WhichOneof("message"):
            case "track":
                names[request.track.track] = request.track.participant_id
                ears[request.track.track] = Ear(request.track.start_sample)
                texts.setdefault(request.track.participant_id, [])
            case "audio":
                heard = ears[request.audio.track].hear(np.frombuffer(request.audio.pcm, "<i2"))
                texts[names[request.audio.track]] += [each.final.text for each in heard if each.HasField("final")]
            case "gap":
                gap = request.gap
                heard = ears[gap.track].hear(np.zeros(gap.end_sample - gap.start_sample, np.int16))
                texts[names[gap.track]] += [each.final.text for each in heard if each.HasField("final")]
    for number, ear in ears.items():
        texts[names[number]] += [each.final.text for each in ear.end() if each.HasField("final")]
    return texts


def heard(found: Sequence[Any]) -> dict[str, list[str]]:
    """Return the texts per participant, in time order."""
    texts: dict[str, list[str]] = {}
    for segment in sorted(found, key=lambda segment: segment.start_ms):
        texts.setdefault(segment.participant_id, []).append(segment.text)
    return texts
