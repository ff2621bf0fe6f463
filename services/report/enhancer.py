"""The clean transcript: hesitations and repeats taken out, casing and full stops put in, segments joined into turns.

Nothing is added to what was said, and the raw words stay beside the clean ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.report.analysis.language import language_of
from services.report.analysis.lexicon import lexicon
from services.report.analysis.words import fold
from services.report.transcript import Segment, Transcript

TURN_PAUSE_MS = 10_000
"""A longer pause begins a new paragraph, also of the same speaker."""

_REPEAT = re.compile(r"\b((?:[^\W\d_]+ ){0,2}[^\W\d_]+)(?:,? \1\b)+", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
_BEFORE_MARK = re.compile(r"\s+([,.;:!?])")
_COMMAS = re.compile(r",(?:\s*,)+")
_AFTER_STOP = re.compile(r"([.!?])\s*,\s*")
_AFTER_MARK = re.compile(r"([.!?])\s+([^\W\d_])")
_LONE_I = re.compile(r"\bi\b(?=[ ',!?;]|\.(?:\s|$)|$)")
_INNER_STOP = re.compile(r"[.!?…]\s")
_CLOSED = re.compile(r"[.!?…][\"'»”)]*$")


@dataclass(frozen=True, slots=True)
class CleanLine:
    """One segment with its clean text, which is never empty."""

    segment: Segment
    text: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said until another began or a long pause came."""

    lines: tuple[CleanLine, ...]

    @property
    def participant_id(self) -> str:
        """Identifier of the participant who spoke."""
        return self.lines[0].segment.participant_id

    @property
    def speaker(self) -> str:
        """Name of the participant as shown."""
        return self.lines[0].segment.speaker

    @property
    def start_ms(self) -> int:
        """Start on the meeting's timeline, in ms."""
        return self.lines[0].segment.start_ms

    @property
    def end_ms(self) -> int:
        """End on the meeting's timeline, in ms."""
        return max(line.segment.end_ms for line in self.lines)

    @property
    def text(self) -> str:
        """The clean words."""
        return " ".join(line.text for line in self.lines)

    @property
    def raw(self) -> str:
        """The words as they were recognised."""
        return " ".join(line.segment.text for line in self.lines)


def clean_lines(transcript: Transcript) -> tuple[CleanLine, ...]:
    """Clean text per segment in time order; a segment that holds hesitations alone is left out."""
    lines = (
        CleanLine(segment, clean_text(segment.text, language_of(segment.text, transcript.language or "en")))
        for segment in transcript.in_time_order
    )
    return tuple(line for line in lines if line.text)


def turns(lines: Iterable[CleanLine]) -> tuple[Turn, ...]:
    """Lines joined into turns."""
    grouped: list[list[CleanLine]] = []
    for line in lines:
        last = grouped[-1][-1].segment if grouped else None
        same = last is not None and last.participant_id == line.segment.participant_id
        if last is not None and same and line.segment.start_ms - last.end_ms <= TURN_PAUSE_MS:
            grouped[-1].append(line)
        else:
            grouped.append([line])
    return tuple(Turn(tuple(group)) for group in grouped)


def clean_text(text: str, language: str) -> str:
    """One segment's text without hesitations and stammered repeats; empty if nothing else was said."""
    words = lexicon(language)
    for cue in words.cues["fillers"]:
        if cue.removable:
            text = _cut(text, [match.span() for match in cue.pattern.finditer(fold(text))])
    text = _SPACES.sub(" ", text)
    text = _REPEAT.sub(lambda match: match[0] if fold(match[1]) in words.emphatic else match[1], text)
    text = _AFTER_STOP.sub(r"\1 ", _COMMAS.sub(",", _BEFORE_MARK.sub(r"\1", text))).strip(" ,;-—")
    if not any(letter.isalnum() for letter in text):
        return ""
    if language == "en":
        text = _LONE_I.sub("I", text)
    text = _AFTER_MARK.sub(lambda match: f"{match[1]} {match[2].upper()}", text)
    text = text[0].upper() + text[1:]
    if _CLOSED.search(text):
        return text
    asks = not _INNER_STOP.search(text) and words.first("question_heads", fold(text)) is not None
    return text + ("?" if asks else ".")


def _cut(text: str, spans: list[tuple[int, int]]) -> str:
    for start, end in reversed(spans):
        text = f"{text[:start]} {text[end:]}"
    return text
