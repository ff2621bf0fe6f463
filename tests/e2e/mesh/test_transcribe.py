"""`agent transcribe` on files: the two sides of a call, what an interrupted run leaves, and what is not taken."""

import asyncio
import json
import signal
import wave
from pathlib import Path

import numpy as np
import pytest

from mesh.audio import decoded
from tests.e2e.mesh.test_command import SECONDS, agent, check_words, data, run_agent, write_sample
from tests.e2e.rooms.process import ROOT

__all__ = ["data"]  # the fixture
_INTERVIEW = ROOT / "examples" / "interview" / "en"


def _write_call(path: Path) -> Path:
    """Write the sample interview as a telephone would: a side per channel."""
    sides = [
        np.frombuffer(
            b"".join(piece for piece, _ in zip(decoded(_INTERVIEW / name), range(SECONDS), strict=False)), "<i2"
        )
        for name in ("alice.flac", "ben.flac")
    ]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.stack(sides, axis=1).tobytes())
    return path


async def test_a_call_with_a_side_per_channel_has_two_speakers(data: Path):
    call = _write_call(data.parent / "call.wav")
    ended = await run_agent(data, "transcribe", str(call), "--language", "en", "--format", "json")
    assert ended.status == 0, ended.errors
    said: dict[str, list[str]] = {}
    for segment in json.loads(ended.output)["segments"]:
        said.setdefault(segment["speaker"], []).append(segment["text"])
    assert sorted(said) == ["Speaker 1", "Speaker 2"]
    check_words(" ".join(said["Speaker 1"]))
    assert not list((data / "uploads").iterdir()), "nothing is left to go on with"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
async def test_an_interrupted_run_is_gone_on_with(data: Path, ending: signal.Signals):
    sample = write_sample(data.parent / "alice.wav")
    async with agent(data, "up", "--free-ports", STT_PROVIDER="mock", STT_MOCK_SECONDS_PER_DECODE="2") as up:
        await up.says("^ready: http")
        async with agent(data, "transcribe", str(sample), "--language", "en") as first:
            async with asyncio.timeout(30):
                while not any((data / "uploads").glob("*.json")):  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.5)
            first.process.send_signal(ending)
            stopped = await first.ended()
        [note] = (data / "uploads").glob("*.json")
        before = json.loads(note.read_text())
        if ending is signal.SIGINT:
            assert stopped.status == 1
            assert stopped.sentences[-1] == "agent: stopped before the end; the same command goes on from there"
        second = await run_agent(data, "transcribe", str(sample), "--language", "en", "--format", "json")
    assert second.status == 0, second.errors
    assert "going on with what an earlier run has sent" in second.errors
    document = json.loads(second.output)
    assert document["segments"]
    assert before["meeting_id"] in second.output
    assert not any((data / "uploads").iterdir())


async def test_files_are_refused_before_a_meeting_is_made_for_them(data: Path):
    sample = write_sample(data.parent / "alice.wav")
    off = await run_agent(data, "transcribe", str(sample), STT_MAX_FILE_MINUTES="0")
    keyless = await run_agent(data, "transcribe", str(sample), STT_PROVIDER="openai_http")
    assert off.status == keyless.status == 1
    assert off.sentences[-1] == "agent: files are not recognised here: STT_MAX_FILE_MINUTES=0"
    assert keyless.sentences[-1].startswith(
        "agent: nothing is recognised here: STT_PROVIDER=openai_http: OPENAI_API_KEY"
    )
