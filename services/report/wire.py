"""The report as agent.common.v1.Report, and as the JSON of that same message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from agent.common.v1 import report_pb2, transcript_pb2
from services.report import document
from services.report.transcript import Segment, Word

_ORIGINS: Mapping[document.Origin, report_pb2.ClaimOrigin.ValueType] = {
    document.Origin.EXTRACTIVE: report_pb2.CLAIM_ORIGIN_EXTRACTIVE,
    document.Origin.RULE: report_pb2.CLAIM_ORIGIN_RULE,
    document.Origin.MODEL: report_pb2.CLAIM_ORIGIN_MODEL,
    document.Origin.HUMAN: report_pb2.CLAIM_ORIGIN_HUMAN,
}
_CONFIDENCES: Mapping[document.Confidence, report_pb2.Confidence.ValueType] = {
    document.Confidence.LOW: report_pb2.CONFIDENCE_LOW,
    document.Confidence.MEDIUM: report_pb2.CONFIDENCE_MEDIUM,
    document.Confidence.HIGH: report_pb2.CONFIDENCE_HIGH,
}
_KINDS: Mapping[document.ActionKind, report_pb2.ActionKind.ValueType] = {
    document.ActionKind.COMMITMENT: report_pb2.ACTION_KIND_COMMITMENT,
    document.ActionKind.REQUEST: report_pb2.ACTION_KIND_REQUEST,
}


def to_json(message: Message) -> str:
    """The protobuf JSON of a message, with the fields that are zero or empty; ends with a line feed."""
    text = json_format.MessageToJson(message, always_print_fields_with_no_presence=True, ensure_ascii=False)
    return text + "\n"


def to_dict(message: Message) -> dict[str, Any]:
    """The protobuf JSON of a message as Python values."""
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


def report_message(report: document.Report) -> report_pb2.Report:
    """The whole document."""
    return report_pb2.Report(
        schema_version=report.schema_version,
        meeting_id=report.meeting_id,
        revision=report.revision,
        language=report.language,
        title=report.title,
        mode=report.mode,
        headline=report.headline,
        key_moments=[claim_message(claim) for claim in report.key_moments],
        questions=[question_message(question) for question in report.questions],
        actions=[action_message(action) for action in report.actions],
        decisions=[claim_message(claim) for claim in report.decisions],
        risks=[claim_message(claim) for claim in report.risks],
        key_phrases=[
            report_pb2.KeyPhrase(
                phrase=phrase.phrase,
                count=phrase.count,
                evidence=[evidence_message(place) for place in phrase.evidence],
            )
            for phrase in report.key_phrases
        ],
        talk=talk_message(report.talk),
        coverage=[coverage_message(one) for one in report.coverage],
        warnings=report.warnings,
        provenance=report_pb2.Provenance(
            transcript_sha256=report.provenance.transcript_sha256,
            segments=report.provenance.segments,
            analyser=report.provenance.analyser,
            analyser_version=report.provenance.analyser_version,
            speech_engines=report.provenance.speech_engines,
            create_time=report.provenance.create_time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            speech_cost_usd=report.provenance.speech_cost_usd,
        ),
    )


def evidence_message(evidence: document.Evidence) -> report_pb2.Evidence:
    """One quotation."""
    return report_pb2.Evidence(
        segment_id=evidence.segment_id,
        char_start=evidence.char_start,
        char_end=evidence.char_end,
        quote=evidence.quote,
        participant_id=evidence.participant_id,
        speaker=evidence.speaker,
        start_ms=evidence.start_ms,
        end_ms=evidence.end_ms,
    )


def claim_message(claim: document.Claim) -> report_pb2.Claim:
    """One claim with its quotations."""
    return report_pb2.Claim(
        claim_id=claim.claim_id,
        text=claim.text,
        evidence=[evidence_message(evidence) for evidence in claim.evidence],
        origin=_ORIGINS[claim.origin],
        confidence=_CONFIDENCES[claim.confidence],
    )


def question_message(question: document.Question) -> report_pb2.Question:
    """One question with its answer."""
    return report_pb2.Question(
        question=claim_message(question.question),
        asked_by=question.asked_by,
        answered_by=question.answered_by,
        answer=[claim_message(claim) for claim in question.answer],
        answered=question.answered,
    )


def action_message(action: document.ActionItem) -> report_pb2.ActionItem:
    """One commitment or request."""
    return report_pb2.ActionItem(
        claim=claim_message(action.claim),
        kind=_KINDS[action.kind],
        owner=action.owner,
        due_date=action.due_date.isoformat() if action.due_date else "",
        due_text=action.due_text,
    )


def talk_message(talk: document.TalkStatistics) -> report_pb2.TalkStatistics:
    """Who spoke how much."""
    return report_pb2.TalkStatistics(
        duration_ms=talk.duration_ms,
        silence_ms=talk.silence_ms,
        overlap_ms=talk.overlap_ms,
        switches_per_minute=talk.switches_per_minute,
        balance=talk.balance,
        speakers=[
            report_pb2.SpeakerStatistics(
                participant_id=speaker.participant_id,
                speaker=speaker.speaker,
                talk_ms=speaker.talk_ms,
                talk_ratio=speaker.talk_ratio,
                words=speaker.words,
                words_per_minute=speaker.words_per_minute,
                turns=speaker.turns,
                longest_turn_ms=speaker.longest_turn_ms,
                questions=speaker.questions,
                fillers_per_100_words=speaker.fillers_per_100_words,
                interruptions=speaker.interruptions,
            )
            for speaker in talk.speakers
        ],
    )


def coverage_message(coverage: document.ParticipantCoverage) -> transcript_pb2.ParticipantCoverage:
    """One participant's account, totals only."""
    totals = coverage.coverage_ms
    return transcript_pb2.ParticipantCoverage(
        participant_id=coverage.participant_id,
        display_name=coverage.display_name,
        coverage_ms=transcript_pb2.CoverageTotals(
            transcribed=totals.transcribed,
            silent=totals.silent,
            muted=totals.muted,
            concealed=totals.concealed,
            lost=totals.lost,
            pending=totals.pending,
            withdrawn=totals.withdrawn,
        ),
        absent_ms=coverage.absent_ms,
    )


def segment_message(segment: Segment, meeting_id: str) -> transcript_pb2.Segment:
    """One final utterance."""
    return transcript_pb2.Segment(
        segment_id=segment.segment_id,
        meeting_id=meeting_id,
        ordinal=segment.ordinal,
        participant_id=segment.participant_id,
        speaker=segment.speaker,
        start_ms=segment.start_ms,
        end_ms=segment.end_ms,
        text=segment.text,
        words=[
            transcript_pb2.Word(text=word.text, start_ms=word.start_ms, end_ms=word.end_ms, confidence=word.confidence)
            for word in segment.words
        ],
        language=segment.language,
        confidence=segment.confidence,
        engine=segment.engine,
        model=segment.model,
    )


def segment_from(message: transcript_pb2.Segment) -> Segment:
    """One final utterance as it came over the wire."""
    return Segment(
        segment_id=message.segment_id,
        participant_id=message.participant_id,
        speaker=message.speaker,
        start_ms=message.start_ms,
        end_ms=message.end_ms,
        text=message.text,
        ordinal=message.ordinal,
        words=tuple(Word(word.text, word.start_ms, word.end_ms, word.confidence) for word in message.words),
        language=message.language,
        confidence=message.confidence,
        engine=message.engine,
        model=message.model,
    )
