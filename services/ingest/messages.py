"""Rows and states as messages of the contract."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from agent.common.v1 import transcript_pb2 as transcript
from agent.ingest.v1 import meeting_service_pb2 as pb
from services.ingest.coverage.accounts import COVERAGE_KINDS
from services.ingest.coverage.coverage import Coverage
from services.ingest.intake.track import Track
from services.ingest.rows import CoverageRow, MeetingRow, ParticipantRow, SegmentRow
from services.ingest.timeline import milliseconds_of


def meeting_message(row: MeetingRow) -> pb.Meeting:
    """Return a meeting without its transcripts and report."""
    message = pb.Meeting(
        meeting_id=row.meeting_id,
        title=row.title,
        mode=row.mode,
        state=row.state,
        language=row.language,
        provider=row.provider,
        create_time=_timestamp(row.create_time),
        start_time=_timestamp(row.start_time),
        end_time=_timestamp(row.end_time),
        duration_ms=row.duration_ms,
        participants=[participant_message(voice) for voice in row.participants],
        report_state=row.report_state,
        segments=row.segments,
    )
    json_format.ParseDict(dict(row.context), message.context)
    return message


def participant_message(row: ParticipantRow) -> pb.Participant:
    """Return a participant as stored."""
    return pb.Participant(
        participant_id=row.participant_id,
        display_name=row.display_name,
        basis=row.basis,
        language=row.language,
        joined_ms=row.joined_ms,
        left_ms=row.left_ms,
    )


def track_participant(track: Track) -> pb.Participant:
    """Return the participant on a track as they are now."""
    return pb.Participant(
        participant_id=track.participant_id,
        display_name=track.display_name,
        basis=track.basis,
        language=track.language,
        joined_ms=milliseconds_of(track.start_sample),
        left_ms=None if track.end_sample is None else milliseconds_of(track.end_sample),
    )


def segment_message(row: SegmentRow) -> transcript.Segment:
    """Return a final as stored."""
    return transcript.Segment(
        segment_id=row.segment_id,
        meeting_id=row.meeting_id,
        ordinal=row.ordinal,
        participant_id=row.participant_id,
        speaker=row.speaker,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        text=row.text,
        words=[
            transcript.Word(text=word.text, start_ms=word.start_ms, end_ms=word.end_ms, confidence=word.confidence)
            for word in row.words
        ],
        language=row.language,
        confidence=row.confidence,
        engine=row.engine,
        model=row.model,
    )


def stored_coverage(
    rows: Iterable[CoverageRow], voices: Sequence[ParticipantRow]
) -> list[transcript.ParticipantCoverage]:
    """Return a finished meeting's account, in the order of its participants."""
    by_participant: dict[str, list[CoverageRow]] = {}
    for row in rows:
        by_participant.setdefault(row.participant_id, []).append(row)
    return [
        _participant_coverage(voice, by_participant[voice.participant_id])
        for voice in voices
        if voice.participant_id in by_participant
    ]


def _participant_coverage(voice: ParticipantRow, rows: Sequence[CoverageRow]) -> transcript.ParticipantCoverage:
    message = transcript.ParticipantCoverage(
        participant_id=voice.participant_id, display_name=voice.display_name, coverage_ms=transcript.CoverageTotals()
    )
    for row in rows:
        length = row.end_ms - row.start_ms
        if row.kind == "absent":
            message.absent_ms += length
            continue
        setattr(message.coverage_ms, row.kind, getattr(message.coverage_ms, row.kind) + length)
        message.intervals.add(kind=COVERAGE_KINDS[Coverage[row.kind.upper()]], start_ms=row.start_ms, end_ms=row.end_ms)
    return message


def raw_transcript(rows: Iterable[SegmentRow]) -> str:
    """Return the transcript as recognised, one line per segment in time order."""
    lines = [
        f"[{_clock(row.start_ms)}] {row.speaker}: {row.text}"
        for row in sorted(rows, key=lambda row: (row.start_ms, row.ordinal))
    ]
    return "\n".join(lines)


def _clock(milliseconds: int) -> str:
    seconds = milliseconds // 1_000
    return f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message
