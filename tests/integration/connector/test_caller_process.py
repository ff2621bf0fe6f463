"""The caller as a process: what its command line says and does."""

import asyncio
import json
import sys
import wave
from pathlib import Path
from typing import Any

import pytest

from services.connector.sessions.record import State
from tests.integration.connector.harness import RATE, ROOM, SPEC, place_of, running_connector, speech_like, track_of

pytestmark = pytest.mark.realtime


async def hear(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """Read the next event of a caller, which is `event`."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        said: dict[str, Any] = json.loads(await process.stdout.readline())
    assert said["event"] == event
    return said


async def test_a_caller_waits_speaks_a_file_and_leaves(tmp_path: Path) -> None:
    said = speech_like(2.0, 1)
    with wave.open(str(tmp_path / "alice.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(said.tobytes())
    async with running_connector(empty_room_seconds=0.5) as connector:
        arguments = ["--url", connector.url, "--room", ROOM, "--name", "Alice", "--wav", str(tmp_path / "alice.wav")]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "examples.callers", *arguments, "--wait"),
            cwd=Path(__file__).parents[3],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            await connector.sessions.join(SPEC)
            await hear(process, "ready")
            assert process.stdin is not None
            process.stdin.write(b"\n")
            started = await hear(process, "started")
            await hear(process, "finished")
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        async with asyncio.timeout(10):
            while connector.sessions.active:
                await connector.sessions.active[0].ended.wait()
                await asyncio.sleep(0)
        record = await connector.sessions.find("acme", ROOM)

    assert record.state is State.ENDED
    track = track_of(connector.ingest, "Alice")
    start, correlation = place_of(said, track.samples)
    assert correlation > 0.95
    began_at = connector.ingest.session.start_time_ms / 1000 + (track.start + start) / RATE
    assert began_at == pytest.approx(started["at"], abs=0.25)
