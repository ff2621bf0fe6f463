"""One room as a child process: started, watched by its health check, started again with a growing pause."""

from __future__ import annotations

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
from typing import IO

import grpc

from kit.rpc.client import open_channel
from kit.rpc.handshake import handshake_problem
from kit.settings import TlsSettings
from mesh.health import serves
from mesh.notices import listening
from mesh.rooms import Room

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
SETTLED_SECONDS = 30.0  # a child that lived this long starts again without a pause
CHECK_SECONDS = 0.25
MOST_KILLED_STARTS = 3
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """A room's process and what is known of it.

    `state` is "starting", "serving", "not serving", "waiting" (to start again), "stopped", or "failed": it never
    came up. `notice` is what it said last about its start, `moved` when it was started or said so (monotonic clock).
    """

    def __init__(
        self, room: Room, environment: Mapping[str, str], log: Path, *, tls: TlsSettings | None = None
    ) -> None:
        self.room = room
        self.tls = tls
        self.log = log
        self.state = "starting"
        self.restarts = 0
        self.notice = ""
        self.moved = time.monotonic()
        self.serving = asyncio.Event()
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = asyncio.Event()
        self._started = 0.0
        self._lived_seconds = 0.0
        self._log_start = 0

    @property
    def name(self) -> str:
        """Name of the room."""
        return self.room.name

    @property
    def log_place(self) -> str:
        """Where the room writes its log."""
        return str(self.log)

    @property
    def pid(self) -> int | None:
        """Process identifier, or None when it does not run."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the process was started."""
        return time.monotonic() - self._started if self.pid else 0.0

    async def supervise(self) -> None:
        """Keep the room running until `stop`.

        Raises:
            ChildFailed: the room ended by itself before it ever served.
        """
        with listening(self._hear) as address:
            self._environment["NOTIFY_SOCKET"] = address
            await self._supervise()

    async def _supervise(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            self.state = "starting"
            with self.log.open("ab") as log:
                self._start(log)
            status = await self._watch()
            if self._stopping.is_set():
                break
            # A room that gives a reason would give it again; one that was killed gets another chance.
            if not self.serving.is_set() and (status >= 0 or self.restarts >= MOST_KILLED_STARTS):
                self.state = "failed"
                raise ChildFailed(self, status)
            self.restarts += 1
            settled = self._lived_seconds > SETTLED_SECONDS
            pause = FIRST_PAUSE_SECONDS if settled else min(2 * pause, LONGEST_PAUSE_SECONDS)
            self.state = "waiting"
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
        self.state = "stopped"

    async def stop(self, grace_seconds: float) -> int | None:
        """Ask the room to drain, wait, and end it if it takes too long; return its exit status."""
        self._stopping.set()
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.terminate()
            try:
                return await asyncio.to_thread(process.wait, grace_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        return await asyncio.to_thread(process.wait)

    def last_words(self, lines: int = 12) -> list[str]:
        """The end of what the process of this moment wrote to its log."""
        with suppress(OSError), self.log.open(errors="replace") as log:
            log.seek(self._log_start)
            return log.read().splitlines()[-lines:]
        return []

    def _hear(self, status: str) -> None:
        self.notice, self.moved = status, time.monotonic()

    def _start(self, log: IO[bytes]) -> None:
        self._started = self.moved = time.monotonic()
        self.notice = ""
        self._log_start = os.fstat(log.fileno()).st_size
        # Popen from the main thread: the kernel's death signal is tied to the thread that starts the child.
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.room.module],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then drains the rooms
            preexec_fn=_die_with_parent,
        )

    async def _watch(self) -> int:
        """Follow the process and its health check until it ends; return its exit status."""
        process = self._process
        assert process is not None
        async with open_channel(self.room.address, api_key=None, tls=self.tls) as channel:
            while (status := process.poll()) is None:
                try:
                    serving = await serves(channel)
                except grpc.aio.AioRpcError as error:
                    serving = False
                    if problem := handshake_problem(error.details() or ""):
                        self.notice = f"it cannot be asked whether it serves: {problem}"
                if serving:
                    self.state = "serving"
                    self.serving.set()
                elif self.state != "starting":
                    self.state = "not serving"
                await asyncio.sleep(CHECK_SECONDS)
        self._lived_seconds = time.monotonic() - self._started
        return status


class ChildFailed(Exception):
    """A room ended before it ever served; its last words say why."""

    def __init__(self, child: Child, status: int) -> None:
        super().__init__(f"{child.room.name} ended with status {status} before it was ready")
        self.child = child
        self.status = status
