"""One session: a child process of the console, in a process group of its own, and the bytes between it and a client."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncssh

from kit.clock import monotonic
from tui.ssh.environment import WORKING_DIRECTORY, Launch
from tui.ssh.terminal import RESTORE, Terminal, open_terminal

ENDED = 75
"""Exit code of a session that the server ended; the same thing may work later (EX_TEMPFAIL)."""

_READ_BYTES = 65536
_GRACE_SECONDS = 1.0
_KILLED = 128
_ENDING_SIGNALS = frozenset({"HUP", "INT", "TERM"})

Work = Coroutine[Any, Any, None]
Client = asyncssh.SSHServerProcess[bytes]


class Session:
    """A child for one channel of a client.

    Args:
        client: the channel, in bytes.
        launch: how to start the child.
        idle_seconds: time without a key after which a terminal is closed; 0 never closes one.
    """

    def __init__(self, client: Client, launch: Launch, *, idle_seconds: float) -> None:
        self._client = client
        self._launch = launch
        self._idle_seconds = idle_seconds
        self._over = asyncio.Event()
        self._why = ""
        self._last_key = monotonic()

    def end(self, why: str) -> None:
        """End the child and tell the client why, in a sentence."""
        self._why = self._why or why
        self._over.set()

    async def run(self) -> int:
        """Run the child until it ends, the client goes or somebody ends it; returns the exit code."""
        if self._client.term_type is not None:
            return await self._on_a_terminal()
        async with self._child(stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            out = _pour(child.stdout, self._client.stdout)
            err = _pour(child.stderr, self._client.stderr)
            await self._watch(child, [out, err], self._heed())
        return self._result(child)

    async def _on_a_terminal(self) -> int:
        columns, rows, _, _ = self._client.term_size
        with open_terminal(columns, rows) as terminal:
            end = terminal.child_end
            async with self._child(stdin=end, stdout=end, stderr=end) as child:
                terminal.hand_over()
                await self._watch(child, [self._show(terminal)], self._heed(terminal), self._mind_idleness())
        if child.returncode is not None and child.returncode < 0:
            self._client.stdout.write(RESTORE)
        return self._result(child)

    @asynccontextmanager
    async def _child(self, **streams: int) -> AsyncIterator[Process]:
        child = await asyncio.create_subprocess_exec(
            *self._launch.arguments,
            env=dict(self._launch.environment),
            cwd=WORKING_DIRECTORY,
            start_new_session=True,
            **streams,  # type: ignore[arg-type]  # stdin, stdout and stderr
        )
        try:
            yield child
        finally:
            await _stop(child)

    async def _watch(self, child: Process, last_words: Sequence[Work], *others: Work) -> None:
        """Wait until the child has ended and all that it said is sent, or the client has gone, or it must end."""
        said: asyncio.Task[Any] = asyncio.create_task(_all(*last_words, _ended(child)), name="ssh.said")
        gone: asyncio.Task[Any] = asyncio.create_task(self._client.wait_closed(), name="ssh.client")
        over: asyncio.Task[Any] = asyncio.create_task(self._over.wait(), name="ssh.over")
        beside = [asyncio.create_task(other, name="ssh.beside") for other in others]
        try:
            await asyncio.wait([said, gone, over], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (said, gone, over, *beside):
                task.cancel()
            await asyncio.gather(said, gone, over, *beside, return_exceptions=True)

    async def _show(self, terminal: Terminal) -> None:
        while drawn := await terminal.read():
            self._client.stdout.write(drawn)
            await self._client.stdout.drain()  # a slow link slows the child, not this server

    async def _heed(self, terminal: Terminal | None = None) -> None:
        """Take what the client sends: keys, sizes and signals; without a terminal only the last."""
        while True:
            try:
                keys = await self._client.stdin.read(_READ_BYTES)
            except asyncssh.TerminalSizeChanged as size:
                if terminal is not None:
                    terminal.resize(size.width, size.height)
            except asyncssh.SignalReceived as received:
                if received.signal in _ENDING_SIGNALS:
                    self.end(f"{received.signal} was received")
            except asyncssh.BreakReceived:
                continue
            else:
                if not keys:
                    return  # nothing more to type; whether the client has gone is seen elsewhere
                self._last_key = monotonic()
                if terminal is not None:
                    await terminal.write(keys)

    async def _mind_idleness(self) -> None:
        while self._idle_seconds:
            left = self._last_key + self._idle_seconds - monotonic()
            if left <= 0:
                self.end(f"no key was pressed for {self._idle_seconds / 60:g} minutes")
                return
            await asyncio.sleep(left)

    def _result(self, child: Process) -> int:
        if self._why:
            say(self._client, self._why)
            return ENDED
        code = child.returncode if child.returncode is not None else 1
        return code if code >= 0 else _KILLED - code


def say(client: Client, sentence: str) -> None:
    """Tell a client something, if it is still there."""
    end = "\n" if client.term_type is None else "\r\n"
    with contextlib.suppress(OSError):
        client.stderr.write(f"agent-console: {sentence}{end}".encode())


async def _all(*works: Work) -> None:
    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(work, name="ssh.part")


async def _ended(child: Process) -> None:
    await child.wait()


async def _pour(source: asyncio.StreamReader, sink: "asyncssh.SSHWriter[bytes]") -> None:
    while said := await source.read(_READ_BYTES):
        sink.write(said)
        await sink.drain()


async def _stop(child: Process) -> None:
    """End the child's process group: asked first, then not asked."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                await child.wait()
