"""A caller of the demo: its own process, a real WebRTC peer that speaks one track of the interview."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from kit.lifecycle import StartError
from mesh.demo.reference import EXAMPLES, Reference, Speaker

STEP_SECONDS = 30.0


class Caller:
    """Speaks lines with the caller's process.

    It tells, as JSON: `joined` the room, `ready` (connected to the recorder), `started` (with the wall clock),
    `finished` its track. It is told: `start`, `leave`.
    """

    def __init__(self, speaker: Speaker, process: asyncio.subprocess.Process) -> None:
        self.speaker = speaker
        self._process = process

    async def told(self, event: str, seconds: float = STEP_SECONDS) -> Mapping[str, Any]:
        """Wait until the caller reports `event`; return what it said about it.

        Raises:
            StartError: it ended or was silent for too long.
        """
        assert self._process.stdout is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while line := await self._process.stdout.readline():
                    said: Mapping[str, Any] = json.loads(line)
                    if said["event"] == event:
                        return said
        raise StartError(
            f"the caller {self.speaker.name} never came to {event!r}; see callers.log in the output folder"
        )

    async def tell(self, word: str) -> None:
        """Send one word."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self._process.stdin.drain()


@asynccontextmanager
async def open_caller(
    speaker: Speaker, reference: Reference, *, gateway: str, room: str, key: str, log: Any
) -> AsyncIterator[Caller]:
    """Run a caller for the block.

    Args:
        gateway: address of the gateway, `http://host:port`.
        room: name of the room, which is the identifier of its meeting.
        key: API key of a user.
        log: open file for what the caller writes to standard error.
    """
    arguments = ["--gateway", gateway, "--room", room, "--language", reference.language, "--speaker", speaker.id]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.callers.interview", *arguments, "--seconds", str(reference.seconds),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
        cwd=EXAMPLES.parents[1], env={**os.environ, "AGENT_API_KEY": key},
    )  # fmt: skip
    try:
        yield Caller(speaker, process)
    finally:
        if process.returncode is None:
            process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
