"""One FollowTranscript call: finals in, insights out, until `end`, a drain, or a client that went away."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import grpc

from agent.report.v1 import report_service_pb2 as pb
from kit.errors import InvalidArgument
from kit.telemetry import logs
from services.report.errors import StreamProtocolBroken
from services.report.live import Found, LiveMeeting
from services.report.transcript import Transcript
from services.report.wire import action_message, claim_message, segment_from, talk_message

log = logs.get()


class ServerStream(Protocol):
    """gRPC's side of a stream."""

    async def read(self) -> Any: ...

    async def write(self, message: Any) -> None: ...


class Archive(Protocol):
    """Where the finals that were settled before are kept."""

    async def transcript(self, tenant_id: str, meeting_id: str) -> Transcript:
        """Return what is known of a meeting so far.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
        """

    async def roster(self, tenant_id: str, meeting_id: str) -> list[tuple[str, str]]:
        """Return identifier and display name of the meeting's participants."""


class FollowStream:
    """One call. Every final passes once, whether it was stored before the call or comes in it."""

    def __init__(
        self, stream: ServerStream, archive: Archive, tenant_id: str, draining: asyncio.Event, talk_seconds: float
    ) -> None:
        self._stream = stream
        self._archive = archive
        self._tenant_id = tenant_id
        self._draining = draining
        self._talk_seconds = talk_seconds
        self._writing = asyncio.Lock()
        self._talked = asyncio.Event()

    async def run(self) -> None:
        """Serve the call.

        Raises:
            StreamProtocolBroken: a message came out of order.
            MeetingNotFound: there is no such meeting for the caller.
        """
        opening = _open(await self._stream.read())
        if opening is None:
            return
        with logs.bind(meeting_id=opening.meeting_id):
            meeting = await self._opened(opening)
            async with asyncio.TaskGroup() as tasks:
                talking = tasks.create_task(self._talk(meeting), name="report.follow.talk")
                reading = tasks.create_task(self._read(meeting, opening.meeting_id), name="report.follow.read")
                draining = tasks.create_task(self._draining.wait(), name="report.follow.drain")
                await asyncio.wait((reading, draining), return_when=asyncio.FIRST_COMPLETED)
                async with self._writing:  # no message is cut in half
                    for task in (talking, reading, draining):
                        task.cancel()
                    if not reading.done():
                        drain = pb.FollowDrain(reason="shutting down")
                        await self._stream.write(pb.FollowTranscriptResponse(drain=drain))

    async def _opened(self, opening: pb.FollowOpen) -> LiveMeeting:
        """Answer `open`, then tell what the finals held that were stored before."""
        stored = await self._archive.transcript(self._tenant_id, opening.meeting_id)
        roster = await self._archive.roster(self._tenant_id, opening.meeting_id)
        meeting = LiveMeeting(stored.held_on, opening.language or stored.language, roster)
        found = [meeting.add(segment) for segment in sorted(stored.segments, key=lambda one: one.ordinal)]
        await self._write(pb.FollowTranscriptResponse(opened=pb.FollowOpened(last_ordinal=meeting.last_ordinal)))
        for one in found:
            await self._tell(one)
        if found:
            self._talked.set()
        log.info("follow_opened", segments=len(found))
        return meeting

    async def _read(self, meeting: LiveMeeting, meeting_id: str) -> None:
        while (request := await self._stream.read()) is not grpc.aio.EOF:
            match request.WhichOneof("message"):
                case "segment":
                    if request.segment.meeting_id not in ("", meeting_id):
                        raise InvalidArgument("is not the meeting of this stream", field="segment.meeting_id")
                    await self._tell(meeting.add(segment_from(request.segment)))
                    self._talked.set()
                case "end":
                    await self._tell_talk(meeting)
                    return
                case other:
                    raise StreamProtocolBroken("segment or end", other or "nothing")

    async def _talk(self, meeting: LiveMeeting) -> None:
        """Tell who spoke how much, soon after something was said and not more often than wanted."""
        while True:
            await self._talked.wait()
            self._talked.clear()
            await self._tell_talk(meeting)
            await asyncio.sleep(self._talk_seconds)

    async def _tell(self, found: Found) -> None:
        for question in found.questions:
            await self._insight(pb.Insight(question=claim_message(question)))
        for action in found.actions:
            await self._insight(pb.Insight(action=action_message(action)))

    async def _tell_talk(self, meeting: LiveMeeting) -> None:
        await self._insight(pb.Insight(talk=talk_message(meeting.talk())))

    async def _insight(self, insight: pb.Insight) -> None:
        await self._write(pb.FollowTranscriptResponse(insight=insight))

    async def _write(self, message: pb.FollowTranscriptResponse) -> None:
        async with self._writing:
            await self._stream.write(message)


def _open(request: Any) -> pb.FollowOpen | None:
    """The opening; None when the client left without a word."""
    if request is grpc.aio.EOF:
        return None
    got = request.WhichOneof("message")
    if got != "open":
        raise StreamProtocolBroken("open", got or "nothing")
    opening: pb.FollowOpen = request.open
    if not opening.meeting_id:
        raise InvalidArgument("is empty", field="open.meeting_id")
    return opening
