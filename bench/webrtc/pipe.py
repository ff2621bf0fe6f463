"""A pipe to a child process: one JSON object per line each way, a request and its answer at a time."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

ANSWER_SECONDS = 120.0
_STOP_SECONDS = 10.0
_LINE_BYTES = 1 << 26

Message = dict[str, Any]
Handler = Callable[[Message], Awaitable[Message]]


class Child:
    """A process that answers requests."""

    def __init__(self, process: asyncio.subprocess.Process, pid: int) -> None:
        self.pid = pid
        """Of the Python process itself, also when it was started in a namespace."""
        self._process = process

    async def ask(self, do: str, **fields: object) -> Message:
        """Send a request; returns the answer.

        Raises:
            RuntimeError: the child failed; its traceback is on standard error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the child died while it was asked to {do}")
        answer: Message = json.loads(line)
        return answer


@asynccontextmanager
async def running(module: str, *arguments: str, prefix: Sequence[str] = ()) -> AsyncIterator[Child]:
    """Run a module for the block; `prefix` comes before the command, as `ip netns exec NAME` does."""
    process = await asyncio.create_subprocess_exec(
        *prefix, sys.executable, "-m", module, *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LINE_BYTES,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((".", "gen"))},
    )  # fmt: skip
    try:
        child = Child(process, process.pid)
        child.pid = int((await child.ask("pid"))["pid"])
        yield child
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer what comes on standard input until it is closed; that ends the process."""
    loop = asyncio.get_running_loop()
    requests = asyncio.StreamReader(limit=_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    while line := await requests.readline():
        request = json.loads(line)
        do = request.pop("do")
        answer = {"pid": os.getpid()} if do == "pid" else await handlers[do](request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    os._exit(0)  # nothing is to be saved, and hundreds of connections would say goodbye one after the other
