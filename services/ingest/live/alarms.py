"""Alarms: what is wrong with a live meeting's recording, told while there is time to mend it.

Looked for every few moments, told to watchers when it begins and when it is over, and to those who come late.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping

from agent.ingest.v1 import meeting_service_pb2 as pb
from kit.clock import monotonic
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.intake.session import MeetingKey, Session
from services.ingest.intake.track import Track
from services.ingest.live.progress import TrackProgress
from services.ingest.timeline import milliseconds_of
from services.ingest.watching.hub import Hub

SILENT_CAPTURE = "silent_capture"
NO_AUDIO = "no_audio"
RECOGNITION_AWAY = "recognition_away"
JOURNAL_DISK_FULL = "journal_disk_full"

KINDS = (SILENT_CAPTURE, NO_AUDIO, RECOGNITION_AWAY, JOURNAL_DISK_FULL)

_SENTENCES = {
    SILENT_CAPTURE: (
        "Nothing but digital silence comes from {name}: the microphone may be muted on the device, or another one is "
        "in use."
    ),
    NO_AUDIO: "No sound arrives from {name}: they may have to join again, or to choose another microphone.",
    RECOGNITION_AWAY: "Speech recognition is away: everything is recorded, and the text will follow.",
    JOURNAL_DISK_FULL: "The disk for recordings is nearly full: this recording goes on as long as it can; make room.",
}
_NOTES = {SILENT_CAPTURE: "dead microphone: {name}", NO_AUDIO: "no sound from {name}"}
"""For operators, who see the state of the room's disk and of recognition anyway."""

log = logs.get()

Place = tuple[str, int]
"""Session and number of a track."""


class Alarms:
    """One meeting's; `run` looks until it is cancelled.

    Args:
        key: the meeting.
        sessions: its sessions, as they come.
        hub: to whom warnings are told.
        recognition: returns why no text comes now; empty when all is well.
        disk_low: returns whether the journals' disk takes no new session.
    """

    def __init__(
        self,
        key: MeetingKey,
        sessions: Mapping[str, Session],
        hub: Hub,
        *,
        recognition: Callable[[], str],
        disk_low: Callable[[], bool],
    ) -> None:
        self._key = key
        self._sessions = sessions
        self._hub = hub
        self._recognition = recognition
        self._disk_low = disk_low
        self._active: dict[tuple[str, str], pb.MeetingWarning] = {}
        self._names: dict[str, str] = {}
        self._progress: dict[Place, TrackProgress] = {}
        self._was_away = False

    @property
    def warnings(self) -> list[pb.MeetingWarning]:
        """What is wrong now."""
        return list(self._active.values())

    def note(self, *, named: bool) -> str:
        """Return what is wrong with participants' sound, empty when all is well; names are for eyes, never for logs."""
        return "; ".join(
            _NOTES[kind].format(name=self._names[participant_id] if named else participant_id)
            for kind, participant_id in self._active
            if kind in _NOTES
        )

    @property
    def pending_seconds(self) -> float:
        """Sound of all tracks that is neither text nor known silence."""
        return sum(each.pending_seconds for each in self._progress.values())

    @property
    def stalled_seconds(self) -> float:
        """Longest time for which a track with such sound had nothing decided."""
        return max((each.stalled_seconds for each in self._progress.values()), default=0.0)

    @property
    def lost_seconds(self) -> float:
        """Time that never arrived, over all tracks."""
        return sum(each.lost_seconds for each in self._progress.values())

    async def run(self, interval_seconds: float) -> None:
        """Look, until cancelled; then nothing is wrong any more."""
        try:
            while True:
                self.look(monotonic())
                await asyncio.sleep(interval_seconds)
        finally:
            for place in list(self._active):
                self._clear(place)

    def look(self, at: float) -> None:
        """Find what is wrong at a moment, and tell what changed."""
        for session in self._sessions.values():
            # A client that is held up by us owes nothing.
            owed = session.connected and not session.ended and session.has_room
            for track in session.tracks.values():
                progress = self._progress.setdefault((session.session_id, track.number), TrackProgress(track, at))
                progress.look(at, owed=owed and track.end_sample is None)
        found = {(warning.kind, warning.participant_id): warning for warning in self._found()}
        for place in [place for place in self._active if place not in found]:
            self._clear(place)
        for place, warning in found.items():
            if place not in self._active:
                self._raise(place, warning)

    def _found(self) -> Iterator[pb.MeetingWarning]:
        full = any(session.journal.disk_full for session in self._sessions.values())
        if self._sessions and (full or self._disk_low()):
            yield self._warning(JOURNAL_DISK_FULL, self._length_ms)
        away = bool(self._recognition())
        if away and self._was_away:  # one that is replaced is away for a moment
            yield self._warning(RECOGNITION_AWAY, self._length_ms)
        self._was_away = away
        for participant_id, tracks in self._listened().items():
            # Whoever is heard on one track may be still on another: a shared screen without sound, for example.
            problems = [
                session.capture(track).problem(self._progress[session.session_id, track.number].waited_samples)
                for session, track in tracks
            ]
            present = [problem for problem in problems if problem is not None]
            if len(present) == len(problems):
                worst = min(present, key=lambda problem: problem.since_sample)
                self._names[participant_id] = tracks[-1][1].display_name or participant_id
                yield self._warning(worst.kind, milliseconds_of(worst.since_sample), participant_id)

    def _listened(self) -> dict[str, list[tuple[Session, Track]]]:
        """Return the tracks that should bring sound, by participant."""
        tracks: dict[str, list[tuple[Session, Track]]] = {}
        for session in self._sessions.values():
            for track in session.tracks.values():
                if track.end_sample is None and not session.ended:
                    tracks.setdefault(track.participant_id, []).append((session, track))
        # A session that waits for its client says nothing of those who are back on another.
        return {
            participant_id: [each for each in theirs if each[0].connected] or theirs
            for participant_id, theirs in tracks.items()
        }

    @property
    def _length_ms(self) -> int:
        return milliseconds_of(max((session.received_sample for session in self._sessions.values()), default=0))

    def _warning(self, kind: str, since_ms: int, participant_id: str = "") -> pb.MeetingWarning:
        message = _SENTENCES[kind].format(name=self._names.get(participant_id, ""))
        return pb.MeetingWarning(kind=kind, participant_id=participant_id, since_ms=since_ms, message=message)

    def _raise(self, place: tuple[str, str], warning: pb.MeetingWarning) -> None:
        self._active[place] = warning
        metrics.WARNINGS_RAISED.labels(warning.kind).inc()
        log.warning("warning_raised", kind=warning.kind, participant_id=warning.participant_id)
        self._hub.publish(self._key, pb.WatchMeetingResponse(warning=warning))

    def _clear(self, place: tuple[str, str]) -> None:
        over = _over(self._active.pop(place))
        log.info("warning_cleared", kind=over.kind, participant_id=over.participant_id)
        self._hub.publish(self._key, pb.WatchMeetingResponse(warning=over))


class Told:
    """What a watcher was told is wrong."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str], pb.MeetingWarning] = {}

    def __iter__(self) -> Iterator[pb.MeetingWarning]:
        return iter(list(self._active.values()))

    def take(self, warning: pb.MeetingWarning) -> None:
        """Note what the watcher hears now."""
        if warning.cleared:
            self._active.pop((warning.kind, warning.participant_id), None)
        else:
            self._active[warning.kind, warning.participant_id] = warning

    def catch_up(self, active: Iterable[pb.MeetingWarning] = ()) -> list[pb.MeetingWarning]:
        """Return what the watcher must hear to know what is wrong now, and no more; taken as heard."""
        wrong = {(warning.kind, warning.participant_id): warning for warning in active}
        news = [_over(warning) for place, warning in self._active.items() if place not in wrong]
        news += [warning for place, warning in wrong.items() if place not in self._active]
        self._active = wrong
        return news


def _over(warning: pb.MeetingWarning) -> pb.MeetingWarning:
    over = pb.MeetingWarning()
    over.CopyFrom(warning)
    over.cleared = True
    return over
