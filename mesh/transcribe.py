"""`agent transcribe`: a file goes the way of a call, only faster."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import audio_service_pb2_grpc, meeting_service_pb2_grpc
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.report.v1 import report_service_pb2 as reports
from agent.report.v1 import report_service_pb2_grpc
from kit.ids import new_id
from kit.lifecycle import Shutdown, StartError
from kit.rpc.client import open_channel
from kit.rpc.status import error_of
from kit.telemetry import logs
from mesh.address_book import read_address_book
from mesh.audio import UnreadableAudio, decoded, file_seconds
from mesh.child import ChildFailed
from mesh.failures import leaves
from mesh.mesh import StartStopped, open_mesh, why_it_failed

RETRIES = 8


@dataclass(frozen=True, slots=True)
class Transcription:
    """What to transcribe and what to write: `format` is txt, json, srt or vtt; no `output` means standard output."""

    file: Path
    format: str
    language: str
    output: Path | None


async def run_transcribe(shutdown: Shutdown, job: Transcription, data: Path) -> None:
    """Transcribe one file; a signal gives up.

    Raises:
        StartError: the file cannot be read or the mesh refuses it; one sentence says why.
    """
    console = Console(stderr=True)
    logs.configure("agent", "warning", "console", stream=sys.stderr)  # standard output is for the transcript
    try:
        seconds = await asyncio.to_thread(file_seconds, job.file)
    except UnreadableAudio as error:
        raise StartError(str(error)) from None
    try:
        async with _running_mesh(data, console, shutdown.requested) as book:
            work = asyncio.create_task(_transcribe(book, job, seconds, console), name="transcribe")
            stop = asyncio.create_task(shutdown.requested.wait(), name="transcribe.stop")
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if not work.done():
                work.cancel()
                raise StartError("stopped before the end; what was sent so far is kept as a meeting")
            text = await work
    except* StartStopped:
        raise StartError("stopped before the mesh was ready") from None
    except* ChildFailed as failures:
        raise StartError(why_it_failed(leaves(failures)[0])) from None
    if job.output is None:
        sys.stdout.write(text)
        return
    try:
        await asyncio.to_thread(job.output.write_text, text, encoding="utf-8")
    except OSError as error:
        raise StartError(f"cannot write {job.output}: {error.strerror}") from None
    console.print(f"wrote {job.output}", style="dim", highlight=False)


@asynccontextmanager
async def _running_mesh(data: Path, console: Console, stop: asyncio.Event) -> AsyncIterator[dict[str, str]]:
    """The mesh of this data directory: the running one, or one for the block."""
    book = await asyncio.to_thread(read_address_book, data)
    if book is not None:
        yield book
        return
    console.print("no mesh runs here; starting one for this file", style="dim")
    async with open_mesh(data, free_ports=True, progress=lambda step: console.print(step, style="dim"), stop=stop):
        started = await asyncio.to_thread(read_address_book, data)
        assert started is not None
        yield started


async def _transcribe(book: dict[str, str], job: Transcription, seconds: float | None, console: Console) -> str:
    async with (
        open_channel(book["ingest"], api_key=book["user_key"]) as ingest,
        open_channel(book["report"], api_key=book["user_key"]) as report,
    ):
        stub = meeting_service_pb2_grpc.MeetingServiceStub(ingest)
        try:
            started = await stub.StartMeeting(
                meetings.StartMeetingRequest(title=job.file.name[:200], mode="upload", language=job.language),
                timeout=30,
            )
            with Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn(),
                console=console, transient=True,
            ) as progress:  # fmt: skip
                bar = progress.add_task(job.file.name, total=seconds, done="")
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_send(ingest, started.meeting_id, job), name="transcribe.send")
                    tasks.create_task(_follow(stub, started.meeting_id, progress, bar), name="transcribe.follow")
            artifact = await report_service_pb2_grpc.ReportServiceStub(report).GetArtifact(
                reports.GetArtifactRequest(meeting_id=started.meeting_id, kind="raw", fmt=job.format), timeout=30
            )
        except* grpc.aio.AioRpcError as failures:
            raise StartError(error_of(leaves(failures)[0]).message) from None
        except* (UnreadableAudio, ConnectionLost) as failures:
            raise StartError(str(leaves(failures)[0]) or "the mesh went away and did not come back") from None
    return str(artifact.body.data, "utf-8")


async def _send(channel: grpc.aio.Channel, meeting_id: str, job: Transcription) -> None:
    """Send the file; after a lost connection decode it again and go on from what is durable."""
    session_id = new_id()
    for epoch in range(1, RETRIES + 1):
        try:
            await _send_from(channel, meeting_id, session_id, epoch, job)
            return
        except (ConnectionLost, grpc.aio.AioRpcError) as error:
            refused = isinstance(error, grpc.aio.AioRpcError) and error.code() is not grpc.StatusCode.UNAVAILABLE
            if refused or epoch == RETRIES:
                raise
            await asyncio.sleep(min(0.25 * 2**epoch, 5))


async def _send_from(
    channel: grpc.aio.Channel, meeting_id: str, session_id: str, epoch: int, job: Transcription
) -> None:
    call = audio_service_pb2_grpc.AudioServiceStub(channel).StreamAudio()
    try:
        opening = audio.SessionOpen(meeting_id=meeting_id, session_id=session_id, epoch=epoch)
        await call.write(audio.StreamAudioRequest(open=opening))
        opened = (await _answer(call)).opened
        durable, sent = opened.next_sequence - 1, 0
        frames = decoded(job.file)
        messages = _messages(frames, job)
        while (message := await asyncio.to_thread(next, messages, None)) is not None:
            sent = message.sequence
            if sent < opened.next_sequence:
                continue
            while sent - durable > opened.window:
                durable = max(durable, (await _answer(call)).durable.sequence)
            await call.write(message)
        while durable < sent:
            durable = max(durable, (await _answer(call)).durable.sequence)
        await call.done_writing()
    finally:
        call.cancel()


async def _answer(
    call: grpc.aio.StreamStreamCall[audio.StreamAudioRequest, audio.StreamAudioResponse],
) -> audio.StreamAudioResponse:
    answer = await call.read()
    if not isinstance(answer, audio.StreamAudioResponse) or answer.HasField("drain"):
        raise ConnectionLost
    return answer


class ConnectionLost(Exception):
    """The server closed the stream or asked to connect again before everything was durable."""


def _messages(frames: Iterator[bytes], job: Transcription) -> Iterator[audio.StreamAudioRequest]:
    """The session's messages, the same ones each time."""
    track = audio.TrackStart(
        track=1,
        participant_id="speaker-1",
        display_name="Speaker 1",
        basis=audio_pb2.SPEAKER_BASIS_GUESS,
        language=job.language,
    )
    yield audio.StreamAudioRequest(sequence=1, track=track)
    sequence, position = 1, 0
    for pcm in frames:
        sequence += 1
        frame = audio.AudioFrame(track=1, start_sample=position, pcm=pcm, kind=audio_pb2.AUDIO_KIND_OK)
        yield audio.StreamAudioRequest(sequence=sequence, audio=frame)
        position += len(pcm) // 2
    yield audio.StreamAudioRequest(sequence=sequence + 1, track_end=audio.TrackEnd(track=1, end_sample=position))
    yield audio.StreamAudioRequest(sequence=sequence + 2, end=audio.SessionEnd(end_sample=position))


async def _follow(
    stub: meeting_service_pb2_grpc.MeetingServiceAsyncStub, meeting_id: str, progress: Progress, bar: TaskID
) -> None:
    """Show how far the text is until the transcript can be fetched."""
    call = stub.WatchMeeting(meetings.WatchMeetingRequest(meeting_id=meeting_id))
    try:
        async for event in call:
            match event.WhichOneof("event"):
                case "coverage":
                    pending = max((p.coverage_ms.pending for p in event.coverage.participants), default=0)
                    done = (event.coverage.duration_ms - pending) / 1000
                    progress.update(bar, completed=done, done=f"{done:.0f} s of speech decided")
                case "meeting" if event.meeting.report_state == "ready":
                    return
                case "meeting" if event.meeting.state == "failed" or event.meeting.report_state == "failed":
                    raise StartError("the meeting failed; `agent up` and the console show why")
    finally:
        call.cancel()
