"""The embedded analyser: from a transcript to a report of claims, by rules alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.report.analysis.actions import actions
from services.report.analysis.headline import headline
from services.report.analysis.language import main_language
from services.report.analysis.moments import key_moments
from services.report.analysis.phrases import key_phrases
from services.report.analysis.questions import is_question, questions
from services.report.analysis.remarks import decisions, risks
from services.report.analysis.sentences import Sentence, sentences
from services.report.analysis.statistics import talk_statistics
from services.report.analysis.warnings import warnings
from services.report.document import Provenance, Report
from services.report.transcript import Segment, Transcript
from services.report.wording import wording

ANALYSER = "embedded"
ANALYSER_VERSION = "1"
"""Raised whenever the same transcript would give another report."""


def analyse(transcript: Transcript, now: datetime) -> Report:
    """Build the report of one revision of a transcript; pure, and the same for the same arguments.

    Args:
        transcript: segments, coverage and the day of the meeting.
        now: aware time in UTC that goes into the provenance.
    """
    segments = transcript.in_time_order
    language = main_language((segment.text for segment in segments), transcript.language)
    said, words = sentences(segments, language), wording(language)
    talk = talk_statistics(segments, transcript.duration_ms, askers(said))
    done, decided = actions(said, people(segments), transcript.held_on), decisions(said)
    return Report(
        meeting_id=transcript.meeting_id,
        revision=transcript.revision,
        language=language,
        title=transcript.title,
        mode=transcript.mode,
        headline=headline(talk, done, len(decided), words),
        key_moments=key_moments(said, transcript.duration_ms),
        questions=questions(said),
        actions=done,
        decisions=decided,
        risks=risks(said),
        key_phrases=key_phrases(said),
        talk=talk,
        coverage=transcript.coverage,
        warnings=warnings(transcript, said, words),
        provenance=Provenance(
            transcript_sha256=transcript.sha256,
            segments=len(transcript.segments),
            analyser=ANALYSER,
            analyser_version=ANALYSER_VERSION,
            speech_engines=transcript.speech_engines,
            create_time=now,
            speech_cost_usd=transcript.speech_cost_usd,
        ),
    )


def people(segments: Sequence[Segment]) -> dict[str, str]:
    """Display name by participant identifier, in order of appearance."""
    return {segment.participant_id: segment.speaker for segment in segments}


def askers(said: Sequence[Sentence]) -> list[str]:
    """Participant identifier of every question."""
    return [sentence.segment.participant_id for sentence in said if is_question(sentence)]
