"""Following one meeting: its stream, taken up again where it broke off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc

from agent.ingest.v1 import meeting_service_pb2 as pb
from kit.rpc.calls import held
from tui.errors import ConsoleError, Unreachable
from tui.transcript import Transcript

if TYPE_CHECKING:
    from tui.desk import Desk

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_OVER = frozenset({"finished", "failed"})


async def watch_meeting(desk: Desk, meeting_id: str, *, after: int = 0) -> AsyncIterator[pb.WatchMeetingResponse]:
    """Give the events of a meeting until its stream ends.

    Args:
        desk: the gateway.
        meeting_id: which meeting.
        after: cursor of the last event that is known.

    Raises:
        ConsoleError: there is no such meeting for this caller, or no stream.
    """
    request = pb.WatchMeetingRequest(meeting_id=meeting_id, after=after, interim=True)
    try:
        with held(desk.meetings_stub.WatchMeeting(request)) as call:
            while (event := await call.read()) is not grpc.aio.EOF:
                yield event
    except grpc.aio.AioRpcError as failure:
        raise desk.refusal(failure, "read this meeting") from None


async def follow(desk: Desk, meeting_id: str, transcript: Transcript) -> None:
    """Keep a transcript up to date; return when the meeting is over or cannot be read.

    A stream that breaks is taken up behind the last event; `transcript.problem` says so meanwhile.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            async for event in watch_meeting(desk, meeting_id, after=transcript.cursor):
                transcript.take(event)
                pause = _FIRST_PAUSE_SECONDS
            if transcript.state in _OVER:
                return
        except ConsoleError as problem:
            transcript.problem = str(problem)
            transcript.version += 1
            if not isinstance(problem, Unreachable):
                return
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
