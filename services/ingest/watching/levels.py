"""Levels: how loud everybody is, told to those who look on, at most twice a second and only while somebody is heard."""

import asyncio
from collections.abc import Mapping

from agent.ingest.v1 import meeting_service_pb2 as pb
from services.ingest.intake.session import MeetingKey, Session
from services.ingest.watching.hub import Hub

_INTERVAL_SECONDS = 0.5


class Levels:
    """One meeting's; `run` tells until it is cancelled. While nobody looks on it does nothing at all.

    Args:
        key: the meeting.
        sessions: its sessions, as they come.
        hub: to whom levels are told.
    """

    def __init__(self, key: MeetingKey, sessions: Mapping[str, Session], hub: Hub) -> None:
        self._key = key
        self._sessions = sessions
        self._hub = hub

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            await self._hub.looked_on(self._key)
            self._loudest()  # of a time when nobody looked on
            while self._hub.is_looked_on(self._key):
                await asyncio.sleep(_INTERVAL_SECONDS)
                loudest = self._loudest()
                if any(loudest.values()):
                    levels = [
                        pb.ParticipantLevel(participant_id=participant_id, level=level)
                        for participant_id, level in loudest.items()
                    ]
                    self._hub.publish(self._key, pb.WatchMeetingResponse(levels=pb.Levels(participants=levels)))

    def _loudest(self) -> dict[str, int]:
        """Return how loud everybody who is there was since this was asked last; somebody may have several tracks."""
        loudest: dict[str, int] = {}
        for session in self._sessions.values():
            peaks = session.take_peaks()
            if session.ended:
                continue
            for track in session.tracks.values():
                if track.end_sample is None:
                    level = peaks.get(track.number, 0)
                    loudest[track.participant_id] = max(level, loudest.get(track.participant_id, 0))
        return loudest
