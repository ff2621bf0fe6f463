"""What is said in one meeting, as its stream tells it. No Textual here; texts are clean."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic

from agent.common.v1 import transcript_pb2
from agent.ingest.v1 import meeting_service_pb2 as pb
from tui.clean import MAX_SPOKEN_CHARACTERS, clean
from tui.rows import VoiceRow

_KEPT_LINES = 5000
_LEVELS_SECONDS = 1.2
"""Levels come twice a second while somebody is heard, and not at all when nobody is."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one person said. `start_ms` counts from the start of the meeting."""

    start_ms: int
    speaker: str
    text: str
    interim: bool = False


class Transcript:
    """Takes the events of WatchMeeting."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        self.lines: list[Line] = []
        """Final lines in their order; the oldest fall off."""
        self.dropped = 0
        """Lines that fell off."""
        self.interims: dict[str, Line] = {}
        self.voices: dict[str, VoiceRow] = {}
        """Coverage by participant."""
        self.warnings: dict[tuple[str, str], str] = {}
        self.title = ""
        self.state = ""
        self.start: datetime | None = None
        self.cursor = 0
        self.version = 0
        self.problem = ""
        """Why the stream is not there."""
        self._levels: dict[str, int] = {}
        self._levels_at = -_LEVELS_SECONDS
        self._clean = partial(clean, ascii_only=ascii_only)
        self._spoken = partial(clean, ascii_only=ascii_only, limit=MAX_SPOKEN_CHARACTERS)

    def take(self, event: pb.WatchMeetingResponse) -> None:
        """Take one event."""
        self.cursor = max(self.cursor, event.cursor)
        self.problem = ""
        match event.WhichOneof("event"):
            case "meeting":
                self._take_meeting(event.meeting)
            case "segment":
                self._take_segment(event.segment)
            case "interim":
                self._take_interim(event.interim)
            case "coverage":
                for one in event.coverage.participants:
                    self._take_coverage(one)
            case "warning":
                self._take_warning(event.warning)
            case "levels":
                self._levels = {one.participant_id: one.level for one in event.levels.participants}
                self._levels_at = monotonic()
            case _:
                return
        self.version += 1

    def level(self, participant_id: str) -> int:
        """Return how loud a participant is now, 0 to 255."""
        return self._levels.get(participant_id, 0) if monotonic() - self._levels_at < _LEVELS_SECONDS else 0

    def at(self, line: Line) -> str:
        """Return when a line was said: by the clock if the start is known, else since the start."""
        offset = timedelta(milliseconds=line.start_ms)
        if self.start is not None:
            return f"{self.start + offset:%H:%M:%S}"
        seconds = line.start_ms // 1000
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def _take_meeting(self, meeting: pb.Meeting) -> None:
        self.title, self.state = self._clean(meeting.title), self._clean(meeting.state)
        if meeting.start_time.seconds:
            self.start = meeting.start_time.ToDatetime()
        if self.state in {"finished", "failed"}:
            self.interims.clear()

    def _take_segment(self, segment: transcript_pb2.Segment) -> None:
        self.interims.pop(segment.participant_id, None)
        if segment.text.strip():
            self.lines.append(Line(segment.start_ms, self._clean(segment.speaker), self._spoken(segment.text)))
        if len(self.lines) > _KEPT_LINES:
            self.dropped += 1
            del self.lines[0]

    def _take_interim(self, interim: pb.InterimText) -> None:
        text = self._spoken(f"{interim.stable_text} {interim.unstable_text}")
        if text:
            self.interims[interim.participant_id] = Line(
                interim.start_ms, self._clean(interim.speaker), text, interim=True
            )
        else:
            self.interims.pop(interim.participant_id, None)

    def _take_coverage(self, one: transcript_pb2.ParticipantCoverage) -> None:
        totals = one.coverage_ms
        row = VoiceRow(
            self._clean(one.participant_id),
            self._clean(one.display_name),
            transcribed=totals.transcribed,
            silent=totals.silent,
            muted_ms=totals.muted,
            concealed=totals.concealed,
            lost=totals.lost,
            pending=totals.pending,
        )
        self.voices[row.key] = row

    def _take_warning(self, warning: pb.MeetingWarning) -> None:
        about = (warning.kind, warning.participant_id)
        if warning.cleared:
            self.warnings.pop(about, None)
        else:
            self.warnings[about] = self._clean(warning.message or warning.kind)
