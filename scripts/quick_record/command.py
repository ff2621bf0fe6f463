"""The program: record, put together, transcribe, upload, mail. Whatever is done is noted, so that --resume goes on."""

import signal
import subprocess
import sys
import time
import webbrowser
from types import FrameType
from uuid import uuid4

from scripts.quick_record.agent import Agent, AgentRefused, upload
from scripts.quick_record.assembly import NothingRecorded, assemble
from scripts.quick_record.folder import MP3, REPORT, TRANSCRIPT, Folder, FolderUnusable, Note, host_of
from scripts.quick_record.mail import MailFailed, MailServer, send, summary
from scripts.quick_record.options import Options, read_options
from scripts.quick_record.progress import Progress, tell
from scripts.quick_record.segments import SegmentWriter
from scripts.quick_record.source import SAMPLE_BYTES, SAMPLE_RATE_HERTZ, SourceFailed, list_sources, open_source


class TranscriptionFailed(Exception):
    """The transcript could not be made; the message says why."""


class Stop:
    """The wish to stop: Ctrl-C or SIGTERM ends the recording, a second one the program."""

    def __init__(self) -> None:
        self.wished = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.wished:
            raise KeyboardInterrupt
        self.wished = True


def main(arguments: list[str]) -> int:
    """Run the program; returns its exit status."""
    options = read_options(arguments)
    try:
        if options.list_sources:
            print("\n".join(list_sources()))
            return 0
        server = MailServer.of() if options.email_to else None
        stop = Stop()
        folder = _folder(options)
        tell(f"recording into {folder.path}")
        if options.resume is None or options.go_on:
            _record(folder, options, stop)
        seconds = assemble(folder)
        tell(f"{folder.path / MP3}: {seconds:.1f} s")
        _follow(folder, options, server, seconds)
    except (
        SourceFailed, FolderUnusable, NothingRecorded, TranscriptionFailed, AgentRefused, MailFailed, OSError
    ) as problem:  # fmt: skip
        tell(f"quick-record: {problem}")
        return 1
    except KeyboardInterrupt:
        tell("quick-record: stopped; --resume goes on from here")
        return 130
    print(folder.path)
    return 0


def _folder(options: Options) -> Folder:
    if options.resume is not None:
        return Folder.open(options.resume)
    host = host_of(options.url)
    note = Note(
        host=host,
        title=options.title or host or "Recording",
        language=options.language,
        segment=options.segment,
        overlap=options.overlap,
        request_id=uuid4().hex,
    )
    return Folder.make(options.output, note)


def _record(folder: Folder, options: Options, stop: Stop) -> None:
    """Record one take, until somebody stops it, its time is over, or the source ends."""
    note, progress = folder.note, Progress()
    take = len(note.takes) + 1
    segment, overlap = (round(seconds * SAMPLE_RATE_HERTZ) for seconds in (note.segment, note.overlap))
    longest = round(options.duration * SAMPLE_RATE_HERTZ) if options.duration else None
    with open_source(options.source, options.input, options.pace) as source:
        if options.open_browser:
            webbrowser.open(options.url)
        folder.keep(takes=[*note.takes, time.time()], assembled=False)
        with SegmentWriter(folder, take, segment, overlap) as writer:
            while not stop.wished:
                try:
                    pcm = source.read()
                except SourceFailed as failed:
                    tell(f"\nquick-record: {failed}")  # what there is is put together all the same
                    break
                if longest is not None:
                    pcm = pcm[: (longest - writer.samples) * SAMPLE_BYTES]
                if not pcm:
                    break
                writer.write(pcm)
                progress.hear(pcm)
                progress.show(writer.samples / SAMPLE_RATE_HERTZ, writer.complete)
        progress.show(writer.samples / SAMPLE_RATE_HERTZ, writer.complete, last=True)
        progress.end()


def _follow(folder: Folder, options: Options, server: MailServer | None, seconds: float) -> None:
    """Do what was asked for after the recording, and is not done yet."""
    if options.transcribe and not folder.note.transcribed:
        _transcribe(folder)
        tell(f"{folder.path / TRANSCRIPT}")
    if options.upload and not folder.note.reported:
        agent = Agent(options.agent_url, options.agent_api_key)
        try:
            upload(folder, agent)
        finally:
            agent.close()
        tell(f"{folder.path / REPORT}: meeting {folder.note.meeting_id} at {options.agent_url}")
    to = [address for address in options.email_to if address not in folder.note.mailed]
    if server is not None and to:
        send(summary(folder, server, to, seconds), server)
        folder.keep(mailed=[*folder.note.mailed, *to])
        tell(f"mailed to {', '.join(to)}")


def _transcribe(folder: Folder) -> None:
    """Transcribe on this machine, the way `agent transcribe` does."""
    command = [sys.executable, "-m", "mesh", "transcribe", str(folder.path / MP3), "--format", "txt"]
    command += ["--output", str(folder.path / TRANSCRIPT)]
    if folder.note.language:
        command += ["--language", folder.note.language]
    if subprocess.run(command, check=False).returncode:
        raise TranscriptionFailed("the transcript could not be made; run again with --resume and --transcribe")
    folder.keep(transcribed=True)
