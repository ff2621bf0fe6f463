"""The `agent` command as people and their scripts use it: what it says, what it survives, what it leaves behind."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
import time
import wave
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from examples.interview.words import normalise
from kit.rpc.client import open_channel
from mesh.audio import SAMPLE_RATE_HERTZ, decoded
from mesh.demo.reference import read_reference
from mesh.rooms import ROOMS
from tests.e2e.rooms.process import ROOT, Ended, build_directory
from tests.fakes.model_hub import MODEL, running_hub
from tests.kit_server import eventually

ALICE = ROOT / "examples" / "interview" / "en" / "alice.flac"
SECONDS = 20
START_SECONDS = 60.0
STOP_SECONDS = 20.0
TIMESTAMP = re.compile(r"(?:\d\d:)?\d\d:\d\d[.,]\d{3}")


class Command:
    """`agent ...` as a process."""

    def __init__(self, process: asyncio.subprocess.Process, directory: Path, name: str) -> None:
        self.process = process
        self._output, self._errors = directory / f"{name}.stdout", directory / f"{name}.stderr"

    @property
    def output(self) -> str:
        """What stands on its standard output so far."""
        return self._output.read_text()

    @property
    def errors(self) -> str:
        """What stands on its standard error so far."""
        return self._errors.read_text()

    async def ended(self, seconds: float = START_SECONDS) -> Ended:
        """Wait for the end."""
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            status = await self.process.wait()
        return Ended(status, time.monotonic() - began, self.output, self.errors)

    async def says(self, pattern: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """Wait until something stands on its standard error."""

        def said() -> bool:
            assert self.process.returncode is None, self.errors
            return re.search(pattern, self.errors, re.MULTILINE) is not None

        await eventually(said, seconds)
        found = re.search(pattern, self.errors, re.MULTILINE)
        assert found is not None
        return found


@asynccontextmanager
async def agent(data: Path, *arguments: str, **settings: str) -> AsyncIterator[Command]:
    """Run the command for the block, on the data directory, with nothing else set; stopped if it still runs then."""
    directory = data.parent
    name = f"agent-{len(list(directory.glob('agent-*.stdout')))}"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}",
        "AGENT_DATA_DIR": str(data),
        "STT_PROVIDER": "demo",
        "INGEST_MIN_FREE_MB": "1",
        "COLUMNS": "160",
        **settings,
    }
    with (directory / f"{name}.stdout").open("wb") as output, (directory / f"{name}.stderr").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mesh", *arguments, cwd=directory, env=environment, stdout=output, stderr=errors,
            stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield Command(process, directory, name)
    finally:
        if process.returncode is None:
            process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_agent(data: Path, *arguments: str, **settings: str) -> Ended:
    """Run the command to its end."""
    async with agent(data, *arguments, **settings) as command:
        return await command.ended()


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory that nobody has used; everything that runs on it afterwards is a failure."""
    with build_directory() as directory:
        yield directory / "data"
        left = processes(directory / "data")
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left


def processes(data: Path) -> dict[int, str]:
    """The processes that work on a data directory: rooms by their environment, PostgreSQL by its command line."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                ours = f"AGENT_DATA_DIR={data}\0".encode() in (entry / "environ").read_bytes() + b"\0"
                if line and (ours or f"{data}/" in line):
                    found[int(entry.name)] = line[:120]
    return found


def children(data: Path) -> dict[str, int]:
    """The process of each room, and of "postgresql", on a data directory."""
    modules = {room.module: room.name for room in ROOMS}
    found = {}
    for pid, line in processes(data).items():
        words = line.split()
        if words[1:2] == ["-m"] and words[2] in modules:
            found[modules[words[2]]] = pid
        elif words[0].endswith("/postgres") and "-D" in words:
            found["postgresql"] = pid
    return found


async def test_it_teaches(data: Path):
    data.parent.mkdir(exist_ok=True)
    helped, versioned, bare, unknown, no_file = await asyncio.gather(
        run_agent(data, "--help"),
        run_agent(data, "--version"),
        run_agent(data),
        run_agent(data, "trancsribe"),
        run_agent(data, "transcribe", "/no/such/file.wav"),
    )
    assert helped.status == 0
    for command in ("up", "transcribe", "doctor", "demo", "health", *(room.name for room in ROOMS)):
        assert re.search(rf"^\W+{command}\s+\w", helped.output, re.MULTILINE), command
    assert "Start with `agent up`" in helped.output
    assert (versioned.status, versioned.output) == (0, version("interview-analytics-agent") + "\n")
    assert "Start with `agent up`" in bare.output + bare.errors
    assert unknown.status == 2
    assert "trancsribe" in unknown.errors
    assert no_file.status == 2
    assert "/no/such/file.wav" in no_file.errors


async def test_a_first_start_shows_how_far_the_models_download_is(data: Path):
    with running_hub(bytes_per_second=700_000) as hub:
        variables = {"STT_PROVIDER": "auto", "STT_MODEL": MODEL, "HF_ENDPOINT": hub, "HF_HOME": str(data.parent)}
        async with agent(data, "up", "--free-ports", **variables) as up:
            await up.says(rf"^stt: downloading {MODEL}: [\d.]+ of [\d.]+ MiB \(\d+ %\)$")
            await up.says("^ready: http")


async def test_doctor_is_a_check_for_scripts(data: Path):
    well, wrong, no_model = await asyncio.gather(
        run_agent(data, "doctor"),
        run_agent(data, "doctor", LOG_LEVEL="loud", STORAGE_MODE="cloud"),
        run_agent(data, "doctor", STT_PROVIDER="auto", STT_MODEL="/no/such/model"),
    )
    assert well.status == 0, well.output
    assert "ready: agent up" in well.output
    assert wrong.status == 1
    assert "LOG_LEVEL: " in wrong.output
    assert "STORAGE_MODE: " in wrong.output
    assert "2 to mend" in wrong.output
    assert no_model.status == 1
    assert "STT_MODEL=/no/such/model" in no_model.output


async def test_what_cannot_start_says_so_in_a_sentence(data: Path):
    noise = data.parent / "noise.mp3"
    noise.write_text("this is not music")
    port = next(room.port for room in ROOMS if room.name == "ingest")
    with suppress(OSError), socket.create_server(("127.0.0.1", port)):
        taken = await run_agent(data, "up")
    assert taken.status == 1
    assert taken.errors.startswith("agent: ports in use: ")
    assert f"{port} (ingest)" in taken.errors
    assert "--free-ports" in taken.errors
    no_audio, no_model, wrong = await asyncio.gather(
        run_agent(data, "transcribe", str(noise)),
        run_agent(data, "up", "--free-ports", STT_PROVIDER="auto", STT_MODEL="/no/such/model"),
        run_agent(
            data.with_name("other"), "up", "--free-ports", DATABASE_URL="garbage", API_KEYS="a,b", SERVICE_API_KEYS="b"
        ),
    )
    assert (no_audio.status, len(no_audio.sentences)) == (1, 1)
    assert no_audio.errors.startswith("agent: noise.mp3: no audio in it")
    assert no_model.status == 1
    assert no_model.sentences[-1].startswith("agent: stt: STT_MODEL=/no/such/model")
    assert wrong.status == 1
    for ended in (taken, no_audio, no_model, wrong):
        assert "Traceback" not in ended.output + ended.errors
        assert ended.output == "", "sentences stand on stderr"


async def test_a_start_can_be_given_up(data: Path):
    async with agent(data, "up", "--free-ports") as up:
        await up.says("^starting stt")
        up.process.terminate()
        ended = await up.ended(STOP_SECONDS)
    assert ended.status == 0, ended.errors
    assert ended.sentences[-1] == "stopped before every room was ready"
    assert not processes(data)


async def test_a_mesh_survives_the_death_of_its_parts_but_not_its_own(data: Path):
    async with agent(data, "up", "--free-ports") as up:
        await up.says("^ready: http")
        for room in ROOMS:
            await up.says(rf"^{room.name}: serving \(pid \d+\)$")
        book = json.loads((data / "mesh.json").read_text())
        assert (data / "mesh.json").stat().st_mode & 0o077 == 0, "it holds keys"
        before = children(data)
        assert before.keys() == {*(room.name for room in ROOMS), "postgresql"}
        second = await run_agent(data, "up", "--free-ports")
        assert (second.status, len(second.sentences)) == (1, 1)
        assert f"process {up.process.pid}" in second.errors, "it names who has the directory"

        killed = ("stt", "report", "postgresql")
        for name in killed:
            os.kill(before[name], signal.SIGKILL)
        for name in killed[:2]:
            await up.says(rf"^{name}: serving \(pid (?!{before[name]}\))\d+\)$")
        await eventually(lambda: children(data).get("postgresql", before["postgresql"]) != before["postgresql"], 30)
        await eventually(lambda: asks(book), 30)
        after = children(data)
        assert {name for name in after if after[name] != before[name]} == set(killed)

        up.process.kill()
        await up.ended()
        await eventually(lambda: not processes(data), STOP_SECONDS)
    sample = write_sample(data.parent / "alice.wav")
    alone = await run_agent(data, "transcribe", str(sample), "--language", "en")
    assert alone.status == 0, alone.errors
    assert "starting one for this file" in alone.errors, "the address book of the dead is not believed"
    check_words(alone.output)
    assert not processes(data), "the mesh of one file goes with it"
    keys = json.loads((data / "keys.json").read_text())
    said = up.output + up.errors + alone.errors + "".join(log.read_text() for log in (data / "logs").iterdir())
    assert all(key not in said for key in keys.values()), "no key in any log"
    assert "Traceback" not in up.errors + alone.errors


async def test_a_file_becomes_words_in_every_format(data: Path):
    sample = write_sample(data.parent / "alice.wav")
    async with agent(data, "up", "--free-ports") as up:
        await up.says("^ready: http")
        formats = ("txt", "json", "srt", "vtt")
        ended = dict(
            zip(
                formats,
                await asyncio.gather(
                    *(
                        run_agent(data, "transcribe", str(sample), "--language", "en", "--format", name)
                        for name in formats
                    )
                ),
                strict=True,
            )
        )
        written = await run_agent(data, "transcribe", str(sample), "--output", str(data / "no" / "such" / "place"))
        up.process.terminate()
        stopped = await up.ended(STOP_SECONDS)
    assert stopped.status == 0, stopped.errors
    assert stopped.sentences[-1] == "draining"
    assert not processes(data), "everything has gone before the command returns"
    assert not (data / "mesh.json").exists()
    for name, one in ended.items():
        assert one.status == 0, one.errors
        assert "starting" not in one.errors, f"{name}: the mesh that runs is used"
    assert written.status == 1
    assert written.sentences[-1].startswith("agent: cannot write ")
    check_words(ended["txt"].output)
    check_words(spoken(json.loads(ended["json"].output)))
    check_words(cue_text(ended["srt"].output))
    check_words(cue_text(ended["vtt"].output))
    assert ended["vtt"].output.startswith("WEBVTT\n")
    assert ended["srt"].output.startswith("1\n00:00:")
    for name, mark in (("srt", ","), ("vtt", ".")):
        times = TIMESTAMP.findall(ended[name].output)
        assert times
        assert all(mark in moment for moment in times)
        assert times == sorted(times), "cues do not overlap"


def write_sample(path: Path) -> Path:
    """Write, and name, a WAV file of the first seconds of one side of the sample interview."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HERTZ)
        file.writeframes(b"".join(islice(decoded(ALICE), SECONDS)))
    return path


def check_words(text: str) -> None:
    """Check that what alice said stands in a text: nine of ten words, in whatever lines."""
    reference = read_reference("en", SECONDS)
    [alice] = [speaker for speaker in reference.speakers if speaker.id == "alice"]
    said = normalise(" ".join(utterance.text for utterance in reference.said_by(alice))).split()
    written = normalise(text).split()
    assert len(said) > 10
    assert sum(word in written for word in said) >= 0.9 * len(said), text
    assert len(written) < 2 * len(said) + 10, text


def spoken(document: Any) -> str:
    """The text of a transcript in JSON, wherever it keeps it."""
    if isinstance(document, Mapping):
        own = [str(document["text"])] if isinstance(document.get("text"), str) else []
        return " ".join([*own, *(spoken(value) for key, value in document.items() if key != "words")])
    return " ".join(spoken(value) for value in document) if isinstance(document, list) else ""


def cue_text(subtitles: str) -> str:
    """The text of subtitles, without numbers, times and marks."""
    lines = [line for line in subtitles.splitlines() if "-->" not in line and not line.strip().isdecimal()]
    return re.sub(r"<[^>]*>|WEBVTT|Speaker 1:?", " ", " ".join(lines))


async def asks(book: dict[str, Any]) -> bool:
    """Whether a question that needs the database is answered."""
    async with open_channel(book["ingest"], api_key=book["user_key"]) as channel:
        try:
            await MeetingServiceStub(channel).ListMeetings(meetings.ListMeetingsRequest(), timeout=5)
        except grpc.aio.AioRpcError:
            return False
        return True
