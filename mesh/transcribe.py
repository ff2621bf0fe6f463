"""`agent transcribe`: a file goes the way of a call, only faster."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1 import meeting_service_pb2_grpc
from agent.report.v1 import report_service_pb2 as reports
from agent.report.v1 import report_service_pb2_grpc
from agent.stt.v1 import stt_service_pb2 as speech
from agent.stt.v1 import stt_service_pb2_grpc
from kit.lifecycle import Shutdown, StartError
from kit.rpc.client import open_channel
from kit.rpc.status import error_of
from kit.telemetry import logs
from mesh.address_book import read_address_book, tls_in
from mesh.audio import Recording, Stereo, UnreadableAudio, examine
from mesh.child import ChildFailed
from mesh.failures import leaves
from mesh.mesh import StartStopped, open_mesh, why_it_failed
from mesh.start_screen import StartScreen
from mesh.upload import ConnectionLost, send_file
from mesh.upload_note import UploadNote, open_note, upload_name

_OVER = frozenset({"ERROR_REASON_MEETING_FINISHED", "ERROR_REASON_MEETING_NOT_FOUND", "ERROR_REASON_MEETING_ERASED"})
"""What a meeting says that an earlier run began and that takes no more sound."""


@dataclass(frozen=True, slots=True)
class Transcription:
    """What to transcribe and what to write: `format` is txt, json, srt or vtt; no `output` means standard output."""

    file: Path
    format: str
    language: str
    output: Path | None
    stereo: Stereo = "auto"


async def run_transcribe(shutdown: Shutdown, job: Transcription, data: Path) -> None:
    """Transcribe one file; a signal gives up, and the same job goes on from there.

    Raises:
        StartError: the file cannot be read or the mesh refuses it; one sentence says why.
    """
    console = Console(stderr=True)
    logs.configure("agent", "warning", "console", stream=sys.stderr)  # standard output is for the transcript
    try:
        with console.status(f"reading {job.file.name}"):
            recording = await asyncio.to_thread(examine, job.file, job.stereo)
    except UnreadableAudio as error:
        raise StartError(str(error)) from None
    try:
        async with _running_mesh(data, console, shutdown.requested) as book:
            work = asyncio.create_task(_transcribe(book, job, recording, data, console), name="transcribe")
            stop = asyncio.create_task(shutdown.requested.wait(), name="transcribe.stop")
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
                raise StartError("stopped before the end; the same command goes on from there")
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
    with StartScreen(console) as start:
        async with open_mesh(data, free_ports=True, progress=start.step, moving=start.moving, stop=stop):
            start.close()
            started = await asyncio.to_thread(read_address_book, data)
            assert started is not None
            yield started


async def _transcribe(
    book: dict[str, str], job: Transcription, recording: Recording, data: Path, console: Console
) -> str:
    await _refuse_what_is_not_taken(book, job, recording)
    async with (
        open_channel(book["ingest"], api_key=book["user_key"], tls=tls_in(book)) as ingest,
        open_channel(book["report"], api_key=book["user_key"], tls=tls_in(book)) as report,
    ):
        name = await asyncio.to_thread(upload_name, job.file, f"{job.language} {recording.speakers}")
        with open_note(data, name) as note:
            if note.upload is not None:
                console.print("going on with what an earlier run has sent", style="dim")
                if not await _transcribed(ingest, note, job, recording, console):
                    console.print("that run was closed before its end; starting again", style="dim")
                    note.forget()
            if note.upload is None:
                await _transcribed(ingest, note, job, recording, console)
            assert note.upload is not None
            text = await _transcript(report, note.upload.meeting_id, job.format)
            note.forget()
            return text


async def _refuse_what_is_not_taken(book: dict[str, str], job: Transcription, recording: Recording) -> None:
    """Ask the stt room first: what it will not recognise must not wait for it in a meeting.

    Raises:
        StartError: recognition of files is off, or takes no file of this length.
    """
    async with open_channel(book["stt"], api_key=book["service_key"], tls=tls_in(book)) as channel:
        stub = stt_service_pb2_grpc.SpeechServiceStub(channel)
        try:
            answer = await stub.ListEngines(speech.ListEnginesRequest(), timeout=30)
        except grpc.aio.AioRpcError as error:
            raise StartError(error_of(error).message) from None
    if answer.off_reason:
        raise StartError(f"nothing is recognised here: {answer.off_reason}")
    if not answer.max_file_minutes:
        raise StartError("files are not recognised here: STT_MAX_FILE_MINUTES=0")
    if recording.seconds > answer.max_file_minutes * 60:
        minutes = recording.seconds / 60
        raise StartError(f"{job.file.name}: {minutes:.0f} min; STT_MAX_FILE_MINUTES={answer.max_file_minutes}")


async def _transcribed(
    channel: grpc.aio.Channel, note: UploadNote, job: Transcription, recording: Recording, console: Console
) -> bool:
    """Send what is not sent yet, and wait for the text; False if the meeting of an earlier run takes no more.

    Raises:
        StartError: the mesh refuses the file, or failed with it.
    """
    stub = meeting_service_pb2_grpc.MeetingServiceStub(channel)
    resumed = note.upload is not None
    try:
        if note.upload is None:
            title = job.file.name[:200]
            request = meetings.StartMeetingRequest(title=title, mode="upload", language=job.language)
            started = await stub.StartMeeting(request, timeout=30)
            await asyncio.to_thread(note.begin, started.meeting_id)
        assert note.upload is not None
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}"), TimeRemainingColumn(),
            console=console, transient=True,
        ) as progress:  # fmt: skip
            bar = progress.add_task(job.file.name, total=recording.seconds, done="")

            def sent(seconds: float) -> None:
                if not progress.tasks[bar].completed:
                    progress.update(bar, done=f"{seconds:.0f} s sent")

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(
                    send_file(
                        channel, note, job.file, speakers=recording.speakers, language=job.language, sent=sent
                    ),
                    name="transcribe.send",
                )  # fmt: skip
                tasks.create_task(_follow(stub, note.upload.meeting_id, progress, bar), name="transcribe.follow")
    except* grpc.aio.AioRpcError as failures:
        problem = error_of(leaves(failures)[0])
        if not (resumed and problem.reason in _OVER):
            raise StartError(problem.message) from None
    except* (UnreadableAudio, ConnectionLost) as failures:
        raise StartError(str(leaves(failures)[0])) from None
    except* _MeetingFailed:
        note.forget()
        raise StartError("the meeting failed; `agent up` and the console show why") from None
    else:
        return True
    return False


async def _transcript(channel: grpc.aio.Channel, meeting_id: str, fmt: str) -> str:
    try:
        artifact = await report_service_pb2_grpc.ReportServiceStub(channel).GetArtifact(
            reports.GetArtifactRequest(meeting_id=meeting_id, kind="raw", fmt=fmt), timeout=30
        )
    except grpc.aio.AioRpcError as error:
        raise StartError(error_of(error).message) from None
    return str(artifact.body.data, "utf-8")


class _MeetingFailed(Exception):
    """The mesh could not make a transcript of it."""


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
                    progress.update(bar, completed=done, done=f"{done:.0f} s decided")
                case "meeting" if event.meeting.report_state == "ready":
                    return
                case "meeting" if event.meeting.state == "failed" or event.meeting.report_state == "failed":
                    raise _MeetingFailed
    finally:
        call.cancel()
