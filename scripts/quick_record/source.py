"""Where sound comes from: the monitor of a PulseAudio or PipeWire sink, or a file. 16 kHz, mono, s16le, in order."""

import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from mesh.audio import SAMPLE_RATE_HERTZ as SAMPLE_RATE_HERTZ
from mesh.audio import UnreadableAudio, decoded

SAMPLE_BYTES = 2
_BLOCK_BYTES = SAMPLE_RATE_HERTZ // 10 * SAMPLE_BYTES
_STILL_SECONDS = 0.5
"""A monitor of a sink that plays nothing may send nothing: the time that passes is silence."""
_STARTS = 5
_LISTENS_SECONDS = 2.0


class SourceFailed(Exception):
    """Nothing can be recorded; the message says what to do."""


class Source(Protocol):
    """Sound as it comes."""

    def read(self) -> bytes:
        """Return what has come, within about half a second; empty at the end.

        Raises:
            SourceFailed: no more will come, and that is not the end.
        """


@contextmanager
def open_source(name: str, file: Path | None, pace: float) -> Iterator[Source]:
    """Record from a file or, without one, from the monitor `name`, the default one if empty.

    Raises:
        SourceFailed: there is nothing to record with.
    """
    if file is not None:
        yield FileSource(file, pace)
        return
    source = MonitorSource(recorder_command(name))
    try:
        yield source
    finally:
        source.close()


def recorder_command(name: str) -> list[str]:
    """Return the command that writes a monitor's samples to its standard output.

    Raises:
        SourceFailed: neither PulseAudio's nor PipeWire's tool is installed.
    """
    rate = str(SAMPLE_RATE_HERTZ)
    if parec := shutil.which("parec"):
        device = name or "@DEFAULT_MONITOR@"
        return [parec, "--raw", "--format=s16le", f"--rate={rate}", "--channels=1", "--latency-msec=100", "-d", device]
    if record := shutil.which("pw-record"):
        target = ["--target", name] if name else ["-P", "{ stream.capture.sink=true }"]
        return [record, *target, "--format", "s16", "--rate", rate, "--channels", "1", "-"]
    raise SourceFailed(
        "no sound system to record from: install pulseaudio-utils (parec) or pipewire (pw-record), or use --input FILE"
    )


def list_sources() -> list[str]:
    """Return the names of sources, monitors first.

    Raises:
        SourceFailed: nobody can tell.
    """
    pactl = shutil.which("pactl")
    if pactl is None:
        raise SourceFailed("pactl is not installed (pulseaudio-utils): it lists sources, of PipeWire too")
    try:
        told = subprocess.run(
            [pactl, "list", "short", "sources"], capture_output=True, text=True, timeout=10, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise SourceFailed("no sound server answers: is PulseAudio or PipeWire running?") from error
    names = [line.split("\t")[1] for line in told.stdout.splitlines() if line.count("\t")]
    return sorted(names, key=lambda name: (not name.endswith(".monitor"), name))


class FileSource:
    """A file as if it were played; `pace` times as fast as it sounds, at once if 0."""

    def __init__(self, file: Path, pace: float) -> None:
        self._seconds = decoded(file)
        self._pace = pace
        self._began = time.monotonic()
        self._read = 0

    def read(self) -> bytes:
        """Return the next second."""
        try:
            piece = next(self._seconds, b"")
        except UnreadableAudio as error:
            raise SourceFailed(str(error)) from error
        self._read += len(piece) // SAMPLE_BYTES
        if self._pace and piece:
            due = self._began + self._read / SAMPLE_RATE_HERTZ / self._pace
            time.sleep(max(0.0, due - time.monotonic()))
        return piece


class MonitorSource:
    """What a sound server's tool writes; started again when it ends, the time between is silence."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._selector = selectors.DefaultSelector()
        self._began = time.monotonic()
        self._samples = 0
        self._starts = 0
        self._rest = b""

    def read(self) -> bytes:
        """Return what has come, or the silence that has passed."""
        deadline = time.monotonic() + _STILL_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if self._process is None:
                self._start()
            if self._selector.select(left):
                piece = self._take()
                if piece:
                    return self._counted(piece)
        missing = int((time.monotonic() - self._began) * SAMPLE_RATE_HERTZ) - self._samples
        return self._counted(bytes(max(SAMPLE_BYTES, missing * SAMPLE_BYTES)))

    def close(self) -> None:
        """End the tool."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdout is not None
        self._selector.unregister(process.stdout)
        process.terminate()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _start(self) -> None:
        if self._starts >= _STARTS:
            raise SourceFailed(f"{Path(self._command[0]).name} ended {_STARTS} times in a row: see --list-sources")
        time.sleep(0.2 * self._starts)
        self._starts += 1
        # Ctrl-C is for us: the tool goes on until we have taken what it has.
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def _take(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        piece = os.read(self._process.stdout.fileno(), _BLOCK_BYTES)
        if not piece:
            self.close()
            return b""
        if time.monotonic() - self._began > _LISTENS_SECONDS:
            self._starts = 1
        piece = self._rest + piece
        whole = len(piece) // SAMPLE_BYTES * SAMPLE_BYTES
        self._rest = piece[whole:]
        return piece[:whole]

    def _counted(self, piece: bytes) -> bytes:
        self._samples += len(piece) // SAMPLE_BYTES
        return piece
