"""The report as an outline of headed blocks, which every format of the report writes in its own way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from services.report.coverage import coverage_lines
from services.report.document import ActionItem, Claim, Evidence, KeyPhrase, Question, Report, SpeakerStatistics
from services.report.renderers.subtitles import one_line
from services.report.renderers.timestamps import clock
from services.report.wording import Wording, percent, wording

PHRASE_PLACES = 3
"""Places shown per key phrase; the JSON holds them all."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Words with their place and speaker, then what the analyser has to say about them."""

    place: str
    speaker: str
    text: str
    note: str = ""
    answers: tuple[Quote, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A heading with what stands under it; each item is a quotation, a table or a sentence of our own."""

    heading: str
    items: tuple[Quote | Table | str, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """The whole report."""

    title: str
    headline: str
    blocks: tuple[Block, ...]
    footers: tuple[str, ...]
    """Lines about the making of the report."""


def outline(report: Report) -> Outline:
    """Outline of a report in the report's own language; blocks without content are left out."""
    words = wording(report.language)
    blocks = (
        Block(words.label("warnings"), report.warnings),
        Block(words.label("coverage"), tuple(coverage_lines(report.coverage, report.talk.duration_ms, words))),
        Block(words.label("actions"), tuple(_action(action, words) for action in report.actions)),
        Block(words.label("decisions"), tuple(_quote(claim) for claim in report.decisions)),
        Block(words.label("risks"), tuple(_quote(claim) for claim in report.risks)),
        Block(words.label("questions"), tuple(_question(question, words) for question in report.questions)),
        Block(words.label("key_moments"), tuple(_quote(claim) for claim in report.key_moments)),
        Block(words.label("key_phrases"), tuple(_phrase(phrase) for phrase in report.key_phrases)),
        Block(words.label("talk"), tuple(_talk(report, words))),
    )
    return Outline(
        title=one_line(report.title) or words.label("untitled", meeting_id=report.meeting_id),
        headline=report.headline,
        blocks=tuple(block for block in blocks if block.items),
        footers=tuple(_footers(report, words)),
    )


def _quote(claim: Claim, note: str = "", answers: tuple[Quote, ...] = ()) -> Quote:
    first = claim.evidence[0]
    return Quote(clock(first.start_ms), one_line(first.speaker), one_line(claim.text), note, answers)


def _question(question: Question, words: Wording) -> Quote:
    answers = tuple(_quote(claim) for claim in question.answer)
    return _quote(question.question, "" if question.answered else words.label("unanswered"), answers)


def _action(action: ActionItem, words: Wording) -> Quote:
    notes = [words.label(action.kind.value), action.owner]
    if action.due_date:
        notes.append(words.label("due", date=action.due_date.isoformat()))
    notes.append(words.label(f"confidence_{action.claim.confidence.value}"))
    return _quote(action.claim, ", ".join(one_line(note) for note in notes if note))


def _phrase(phrase: KeyPhrase) -> str:
    places = ", ".join(_place(place) for place in phrase.evidence[:PHRASE_PLACES])
    return f"{one_line(phrase.phrase)} × {phrase.count} ({places})"


def _place(evidence: Evidence) -> str:
    return clock(evidence.start_ms)


def _talk(report: Report, words: Wording) -> Iterator[Table | str]:
    if not report.talk.speakers:
        return
    columns = ("speaker", "share", "time", "pace", "turn", "questions", "interruptions", "fillers", "patience")
    header = tuple(words.label(f"column_{column}") for column in columns)
    yield Table(header, tuple(_row(speaker) for speaker in report.talk.speakers))
    facts = (
        words.label("silence", time=clock(report.talk.silence_ms)),
        words.label("overlap", time=clock(report.talk.overlap_ms)),
        words.label("switches", number=f"{report.talk.switches_per_minute:.1f}"),
    )
    yield ", ".join(facts) + "."


def _row(speaker: SpeakerStatistics) -> tuple[str, ...]:
    return (
        one_line(speaker.speaker),
        f"{percent(speaker.talk_ratio)} %",
        clock(speaker.talk_ms),
        f"{speaker.words_per_minute:.0f}",
        clock(speaker.longest_turn_ms),
        str(speaker.questions),
        str(speaker.interruptions),
        f"{speaker.fillers_per_100_words:.1f}",
        "–" if speaker.patience_ms is None else f"{speaker.patience_ms / 1000:.1f}",
    )


def _footers(report: Report, words: Wording) -> Iterator[str]:
    provenance = report.provenance
    engines = ", ".join(provenance.speech_engines) or words.label("unknown_engine")
    yield words.label(
        "provenance",
        segments=words.counted("segments", provenance.segments),
        analyser=provenance.analyser,
        version=provenance.analyser_version,
        engines=engines,
        digest=provenance.transcript_sha256[:12],
        revision=report.revision,
        time=f"{provenance.create_time:%Y-%m-%d %H:%M} UTC",
    )
    if provenance.speech_cost_usd > 0:
        yield words.label("bill", amount=_amount(provenance.speech_cost_usd), engines=engines)


def _amount(usd: float) -> str:
    """Cents, rounded up so that a bill is never shown as nothing."""
    return f"{math.ceil(round(usd * 100, 6)) / 100:.2f}"
