"""Following the log lines of the mesh: the stream, taken up again where it broke off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import grpc

from agent.console.v1 import console_service_pb2 as pb
from kit.rpc.calls import held
from tui.errors import ConsoleError, Unreachable
from tui.logs import LogLines

if TYPE_CHECKING:
    from tui.desk import Desk

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_SILENCE_SECONDS = 15.0  # the gateway says every 5 s that it lives


async def tail_logs(
    desk: Desk, *, min_level: str = "", contains: str = "", backlog: int = 0, rooms: Sequence[str] = ()
) -> AsyncIterator[pb.TailLogsResponse]:
    """Give the answers until the stream ends.

    Args:
        desk: the gateway.
        min_level: least level; every one if empty.
        contains: text that a line has in it.
        backlog: lines from before at most, per room; the gateway's usual number if 0.
        rooms: whose; all if empty.

    Raises:
        ConsoleError: the gateway does not tell, or the stream broke.
    """
    request = pb.TailLogsRequest(min_level=min_level, contains=contains, backlog=backlog, rooms=rooms)
    try:
        with held(desk.console_stub.TailLogs(request)) as call:
            while True:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    answer = await call.read()
                if answer is grpc.aio.EOF:
                    return
                yield answer
    except grpc.aio.AioRpcError as failure:
        raise desk.refusal(failure, "read the log lines") from None
    except TimeoutError:
        raise Unreachable.room(f"The gateway is silent for {_SILENCE_SECONDS:g} s.") from None


async def follow_logs(desk: Desk, lines: LogLines, *, backlog: int = 0) -> None:
    """Keep lines up to date for ever; `lines.problem` says why there is no stream meanwhile.

    It ends only when asking again cannot help.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            async for answer in tail_logs(desk, backlog=backlog):
                lines.take(answer)
                pause = _FIRST_PAUSE_SECONDS
            lines.lost("the gateway closed the stream")
        except ConsoleError as problem:
            lines.lost(str(problem))
            if problem.final:
                return
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
