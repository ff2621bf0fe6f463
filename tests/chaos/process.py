"""A room as a process that dies often: started, killed, frozen, asked to leave, and started again at once."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.chaos.waiting import until

_PAUSE_SECONDS = (0.1, 1.0)
_SHORT_LIFE_SECONDS = 5.0
_CHECK_SECONDS = 0.05
_GRACE_SECONDS = 15.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class RoomProcess:
    """One replica of a room; `supervise` keeps it running.

    Args:
        name: of the replica, `ingest-1`.
        module: what `python -m` starts.
        environment: all of its variables.
        log: file for everything that it writes.
    """

    def __init__(self, name: str, module: str, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.room = name.partition("-")[0]
        self.log = log
        self.starts = 0
        self.crashes: list[int] = []
        """Exit statuses that nobody asked for."""
        self._module = module
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._expected = False
        self._running = asyncio.Event()

    async def supervise(self) -> None:
        """Start the room, and again whenever it ends, until cancelled; then end it for good."""
        shortest, longest = _PAUSE_SECONDS
        pause = shortest
        try:
            while True:
                began = time.monotonic()
                process = self._start()
                await _end_of(process)
                self._running.clear()
                if not self._expected:
                    self.crashes.append(process.returncode)
                # Whoever fails at the start, PostgreSQL being away, would only take the processor from the others.
                short = not self._expected and time.monotonic() - began < _SHORT_LIFE_SECONDS
                pause = min(2 * pause, longest) if short else shortest
                await asyncio.sleep(pause)
        finally:
            await self._end()

    async def kill(self) -> None:
        """End the process as the kernel does it: at once, wherever it stands."""
        process = await self._alive()
        self._expected = True
        process.kill()

    async def leave(self) -> None:
        """Ask the process to leave, and wait until it is gone; one that stays too long is ended."""
        process = await self._alive()
        self._expected = True
        process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                await _end_of(process)
            return
        process.kill()

    async def freeze(self, seconds: float) -> None:
        """Stop the process in its tracks for a while; it may be killed meanwhile."""
        process = await self._alive()
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            process.send_signal(signal.SIGCONT)  # nothing happens when it is gone

    async def _alive(self) -> "subprocess.Popen[bytes]":
        await self._running.wait()
        assert self._process is not None
        return self._process

    def _start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.starts += 1
        self._expected = False
        self._running.set()
        return self._process

    async def _end(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.kill()
        await asyncio.shield(asyncio.to_thread(process.wait))


async def _end_of(process: "subprocess.Popen[bytes]") -> None:
    await until(lambda: process.poll() is not None, _CHECK_SECONDS)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)
