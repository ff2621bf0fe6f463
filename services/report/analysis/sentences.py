"""Sentences with their places: in the segment, on the timeline, and who said them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from razdel import sentenize

from services.report.analysis.language import language_of
from services.report.analysis.words import Token, tokens
from services.report.document import Evidence
from services.report.transcript import Segment


class SegmentClock:
    """Turns characters of a segment into milliseconds: by its words' times, or linearly where they are missing."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._words = _aligned(segment)

    def span_ms(self, char_start: int, char_end: int) -> tuple[int, int]:
        """Start and end of the characters, in ms, inside the segment's own span."""
        inside = [word for word in self._words if word[0] < char_end and word[1] > char_start]
        if inside:
            start, end = min(word[2] for word in inside), max(word[3] for word in inside)
        else:
            start, end = self._linear(char_start), self._linear(char_end)
        first, last = self._segment.start_ms, max(self._segment.start_ms, self._segment.end_ms)
        start = min(max(start, first), last)
        return start, min(max(end, start), last)

    def _linear(self, char: int) -> int:
        segment = self._segment
        return segment.start_ms + (segment.end_ms - segment.start_ms) * char // max(1, len(segment.text))


def _aligned(segment: Segment) -> tuple[tuple[int, int, int, int], ...]:
    """(char_start, char_end, start_ms, end_ms) per word; empty if the words do not spell the text."""
    places, cursor = [], 0
    for word in segment.words:
        written = word.text.strip()
        at = segment.text.find(written, cursor)
        if not written or at < 0:
            return ()
        cursor = at + len(written)
        places.append((at, cursor, word.start_ms, word.end_ms))
    return tuple(places)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence: text == segment.text[char_start:char_end]."""

    segment: Segment
    clock: SegmentClock = field(repr=False, compare=False)
    char_start: int
    char_end: int
    text: str
    language: str
    start_ms: int
    end_ms: int
    words: tuple[Token, ...]

    @property
    def speaker(self) -> str:
        """Name of the participant who said it."""
        return self.segment.speaker

    def evidence(self, start: int = 0, end: int | None = None) -> Evidence:
        """The sentence, or its characters from `start` to `end`, as a quotation."""
        first = self.char_start + start
        last = self.char_end if end is None else self.char_start + end
        start_ms, end_ms = self.clock.span_ms(first, last)
        return Evidence(
            segment_id=self.segment.segment_id,
            char_start=first,
            char_end=last,
            quote=self.segment.text[first:last],
            participant_id=self.segment.participant_id,
            speaker=self.segment.speaker,
            start_ms=start_ms,
            end_ms=end_ms,
        )


def sentences_of(segment: Segment, language: str) -> list[Sentence]:
    """Sentences of one segment; those without a word are left out.

    Args:
        segment: one final utterance.
        language: language of the meeting, for a segment without letters.
    """
    clock, found = SegmentClock(segment), []
    language = language_of(segment.text, language)
    for part in sentenize(segment.text):
        text = part.text.strip()
        words = tuple(tokens(text))
        if not words:
            continue
        start = part.start + part.text.index(text)
        start_ms, end_ms = clock.span_ms(start, start + len(text))
        found.append(Sentence(segment, clock, start, start + len(text), text, language, start_ms, end_ms, words))
    return found


def sentences(segments: Iterable[Segment], language: str) -> list[Sentence]:
    """Sentences of a transcript in the order in which they were begun."""
    found = [sentence for segment in segments for sentence in sentences_of(segment, language)]
    return sorted(found, key=_began)


def _began(sentence: Sentence) -> tuple[int, int, str, int]:
    return sentence.start_ms, sentence.segment.ordinal, sentence.segment.segment_id, sentence.char_start
