"""Hearing: the tracks of a live meeting on their way to text, and what the store knows of who is on them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from agent.ingest.v1 import meeting_service_pb2 as pb
from services.ingest.intake.session import Session
from services.ingest.intake.track import Track
from services.ingest.live.feed import Feed
from services.ingest.live.settle import Settler
from services.ingest.live.surroundings import Surroundings
from services.ingest.messages import track_participant
from services.ingest.pulse import Pulse
from services.ingest.retry import until_done
from services.ingest.rows import Tenure

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
Place = tuple[str, int]
"""Session and number of a track."""


class Hearing:
    """One meeting's feeds; `run` stores what changes of tracks that are being heard."""

    def __init__(self, tenure: Tenure, room: Surroundings, spawn: Spawn) -> None:
        self._tenure = tenure
        self._room = room
        self._spawn = spawn
        self._settler = Settler(room.live_repository, tenure, room.hub, room.settings.cursor_interval_seconds)
        self._begun: set[Place] = set()
        self._feeds: dict[Place, Feed] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._changed: dict[Place, tuple[Session, Track]] = {}
        self._change = Pulse()
        self._introducing = asyncio.Lock()

    @property
    def problem(self) -> str:
        """Why no text comes now; empty when all is well."""
        return next((feed.problem for feed in self._feeds.values() if feed.problem), "")

    @property
    def warning(self) -> str:
        """What recognisers warn of, while text comes all the same; empty when all is well."""
        return next((feed.warning for feed in self._feeds.values() if feed.warning), "")

    def listen(self, session: Session, language: str, *, recognised: bool = True) -> None:
        """Hear every track of a session from now on, in `language` where it declares none; empty to detect.

        What is not to be `recognised` is only noted in the store; its sound stays undecided.
        """

        def on_track(session: Session, track: Track) -> None:
            if (session.session_id, track.number) in self._begun:
                self._changed[session.session_id, track.number] = session, track
                self._change.beat()
            else:
                start(track)

        def start(track: Track) -> None:
            self._begun.add((session.session_id, track.number))
            if recognised:
                self._start(session, track, language)
            else:
                self._tasks.append(self._spawn(self._introduce(session, track), "track"))

        session.on_track = on_track
        for track in session.tracks.values():
            start(track)

    async def run(self) -> None:
        """Store tracks that change, until cancelled; while the store is away, only the latest of each is kept."""
        while True:
            coming = self._change.coming
            await self._introduce_changed()
            await coming.wait()

    async def finished(self) -> None:
        """Wait until every track is text and everything about it is stored; no session may begin meanwhile."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._introduce_changed()

    def _start(self, session: Session, track: Track, language: str) -> None:
        feed = Feed(session, track, language, self._room.recognizer, self._settler, self._room.settings.feed_options)
        self._feeds[session.session_id, track.number] = feed
        self._tasks.append(self._spawn(self._hear(session, track, feed), "feed"))

    async def _hear(self, session: Session, track: Track, feed: Feed) -> None:
        # Segments refer to the track's row.
        await self._introduce(session, track)
        await feed.run()

    async def _introduce_changed(self) -> None:
        async with self._introducing:
            while self._changed:
                _, (session, track) = self._changed.popitem()
                await self._introduce(session, track)

    async def _introduce(self, session: Session, track: Track) -> None:
        await until_done("participants", lambda: self._room.live_repository.introduce(self._tenure, session, track))
        # Not before it is stored: who begins to watch meanwhile finds the participant in the store.
        self._room.hub.publish(session.key, pb.WatchMeetingResponse(participant=track_participant(track)))
