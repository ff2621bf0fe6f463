"""Watching a meeting: what has settled after the cursor, then what happens, then the report; each segment once."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack
from typing import Protocol

from agent.ingest.v1 import meeting_service_pb2 as pb
from services.ingest.errors import Draining, MeetingElsewhere
from services.ingest.intake.session import MeetingKey
from services.ingest.live.alarms import Told
from services.ingest.messages import meeting_message, participant_message, segment_message, stored_coverage
from services.ingest.repository import IngestRepository
from services.ingest.rows import MeetingRow
from services.ingest.watching.hub import FellBehind, Hub, Subscription
from services.ingest.watching.relay import Relays
from services.ingest.watching.tail import Tail

_ENDED = ("finished", "failed")
_REPORT_DONE = ("ready", "failed")
_POLL_SECONDS = (0.3, 5.0)

Event = pb.WatchMeetingResponse


class Live(Protocol):
    """Tells what a watcher that comes late has missed."""

    @property
    def insights(self) -> Iterable[pb.LiveInsight]: ...

    @property
    def warnings(self) -> Iterable[pb.MeetingWarning]: ...


class Meetings(Protocol):
    """The meetings that are live here."""

    def find(self, key: MeetingKey) -> Live | None: ...


class Watcher:
    """Serves WatchMeeting."""

    def __init__(
        self,
        repository: IngestRepository,
        hub: Hub,
        meetings: Meetings,
        relays: Relays,
        draining: asyncio.Event,
        heartbeat_seconds: float,
    ) -> None:
        self._repository = repository
        self._hub = hub
        self._meetings = meetings
        self._relays = relays
        self._draining = draining
        self._heartbeat_seconds = heartbeat_seconds

    async def watch(self, key: MeetingKey, after: int, *, interim: bool, relayed: bool = False) -> AsyncIterator[Event]:
        """Yield events until the meeting is finished and its report is there, or will not be.

        Args:
            key: the meeting; it may live at any replica.
            after: ordinal of the last segment that the watcher has.
            interim: whether text in the making is wanted.
            relayed: the watcher is another replica, which wants to hear the owner and nobody else.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            MeetingElsewhere: another replica watches, and the meeting is not here any more.
            Draining: the server is stopping; go on with the last cursor.
        """
        tail = Tail(self._repository, key, after)
        told = Told()
        ended = False
        while not ended:
            with ExitStack() as stack:
                # Subscribed before the store is read: what settles in between is in both, and shown once.
                subscription = stack.enter_context(self._hub.subscribe(key))
                row = await self._repository.meeting(key)
                ended = row.state in _ENDED
                relay = None
                if not (ended or relayed):
                    relay = stack.enter_context(self._relays.attend(key, row, interim=interim))
                yield Event(cursor=tail.cursor, meeting=meeting_message(row))
                for voice in row.participants:
                    yield Event(cursor=tail.cursor, participant=participant_message(voice))
                async for segment in tail.stored():
                    yield Event(cursor=tail.cursor, segment=segment)
                if ended:
                    break
                source = self._meetings.find(key) or relay
                for insight in source.insights if source else ():
                    yield Event(cursor=tail.cursor, insight=insight)
                for warning in told.catch_up(source.warnings if source else ()):
                    yield Event(cursor=tail.cursor, warning=warning)
                try:
                    async for event in self._live(subscription, tail, key, interim=interim, relayed=relayed):
                        if event.HasField("warning"):
                            told.take(event.warning)
                        yield event
                    ended = True
                except FellBehind:
                    continue
        for warning in told.catch_up():
            yield Event(cursor=tail.cursor, warning=warning)
        async for event in self._epilogue(key, tail):
            yield event

    async def _live(
        self, subscription: Subscription, tail: Tail, key: MeetingKey, *, interim: bool, relayed: bool
    ) -> AsyncIterator[Event]:
        """Yield live events until the meeting has ended."""
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_seconds):
                    event = await subscription.next()
            except TimeoutError:
                yield Event(cursor=tail.cursor, heartbeat=pb.Heartbeat())
                state, _ = await self._repository.report_state(key)
                if state in _ENDED:  # somewhere else than here
                    return
                if relayed and self._meetings.find(key) is None:
                    raise MeetingElsewhere(key.meeting_id, "") from None
                continue
            match event.WhichOneof("event"):
                case "segment":
                    async for segment in tail.live(event.segment):
                        yield Event(cursor=tail.cursor, segment=segment)
                case "interim" if not interim:
                    continue
                case None:  # what the owner stored may not have been told
                    async for segment in tail.stored():
                        yield Event(cursor=tail.cursor, segment=segment)
                case kind:
                    told = Event(cursor=tail.cursor)
                    getattr(told, str(kind)).CopyFrom(getattr(event, str(kind)))
                    yield told
                    if kind == "meeting" and event.meeting.state in _ENDED:
                        return

    async def _epilogue(self, key: MeetingKey, tail: Tail) -> AsyncIterator[Event]:
        """Yield what is left once the meeting is over: late segments, the account, and the report's fate."""
        for row in await self._repository.segments(key, after=tail.cursor):
            tail.cursor = row.ordinal
            yield Event(cursor=tail.cursor, segment=segment_message(row))
        meeting = await self._repository.meeting(key)
        coverage = stored_coverage(await self._repository.coverage(key), meeting.participants)
        for one in coverage:
            del one.intervals[:]
        yield Event(
            cursor=tail.cursor,
            coverage=pb.CoverageUpdate(duration_ms=meeting.duration_ms, participants=coverage),
        )
        pause, longest = _POLL_SECONDS
        quiet = 0.0
        while not _done(meeting):
            await self._rest(pause)
            quiet += pause
            pause = min(pause * 1.5, longest)
            if quiet >= self._heartbeat_seconds:
                quiet = 0.0
                yield Event(cursor=tail.cursor, heartbeat=pb.Heartbeat())
            _, report = await self._repository.report_state(key)
            if report != meeting.report_state:
                meeting = await self._repository.meeting(key)
        yield Event(cursor=tail.cursor, meeting=meeting_message(meeting))

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            return
        raise Draining


def _done(meeting: MeetingRow) -> bool:
    return meeting.state == "failed" or meeting.report_state in _REPORT_DONE
