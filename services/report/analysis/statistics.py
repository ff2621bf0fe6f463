"""Who spoke how much: exact numbers from the segments' times and texts. Times in milliseconds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low

from services.report.analysis.language import language_of
from services.report.analysis.lexicon import lexicon
from services.report.analysis.spans import Span, length_ms, overlap_ms, union
from services.report.analysis.words import count, fold
from services.report.document import SpeakerStatistics, TalkStatistics
from services.report.transcript import Segment

_MINUTE_MS = 60_000


@dataclass(slots=True)
class SpeakerTurn:
    """What one participant said until another began."""

    participant_id: str
    start_ms: int
    end_ms: int


def talk_statistics(segments: Sequence[Segment], duration_ms: int, askers: Collection[str]) -> TalkStatistics:
    """Statistics over the segments of a meeting.

    Args:
        segments: those with words, in time order.
        duration_ms: length of the meeting, not shorter than its last segment.
        askers: participant identifier of every question, with repeats.
    """
    spoken: dict[str, list[Segment]] = {}
    for segment in segments:
        spoken.setdefault(segment.participant_id, []).append(segment)
    spans = {who: union((said.start_ms, said.end_ms) for said in own) for who, own in spoken.items()}
    talk = {who: length_ms(own) for who, own in spans.items()}
    total, turns, asked = sum(talk.values()), speaker_turns(segments), Counter(askers)
    speakers = []
    for who, own in spoken.items():
        words = sum(count(said.text) for said in own)
        fillers = sum(_fillers(said) for said in own)
        mine = [turn for turn in turns if turn.participant_id == who]
        speakers.append(
            SpeakerStatistics(
                participant_id=who,
                speaker=own[-1].speaker,
                talk_ms=talk[who],
                talk_ratio=talk[who] / total if total else 0.0,
                words=words,
                words_per_minute=words * _MINUTE_MS / talk[who] if talk[who] else 0.0,
                turns=len(mine),
                longest_turn_ms=max(turn.end_ms - turn.start_ms for turn in mine),
                questions=asked[who],
                fillers_per_100_words=100 * fillers / words if words else 0.0,
                interruptions=_interruptions(who, turns, spans),
                patience_ms=_patience_ms(who, turns),
            )
        )
    return TalkStatistics(
        duration_ms=duration_ms,
        silence_ms=duration_ms - length_ms(union(span for own in spans.values() for span in own)),
        overlap_ms=overlap_ms(spans.values()),
        switches_per_minute=max(0, len(turns) - 1) * _MINUTE_MS / duration_ms if duration_ms else 0.0,
        balance=_balance(talk.values()),
        speakers=tuple(speakers),
    )


def speaker_turns(segments: Iterable[Segment]) -> list[SpeakerTurn]:
    """Consecutive segments of one participant, joined; a turn's length includes its pauses."""
    turns: list[SpeakerTurn] = []
    for segment in segments:
        if turns and turns[-1].participant_id == segment.participant_id:
            turns[-1].end_ms = max(turns[-1].end_ms, segment.end_ms)
        else:
            turns.append(SpeakerTurn(segment.participant_id, segment.start_ms, segment.end_ms))
    return turns


def _fillers(segment: Segment) -> int:
    return lexicon(language_of(segment.text, "en")).count("fillers", fold(segment.text))


def _interruptions(who: str, turns: Sequence[SpeakerTurn], spans: dict[str, list[Span]]) -> int:
    """Turns begun strictly inside another's speech."""
    others = [span for other, own in spans.items() if other != who for span in own]
    mine = [turn.start_ms for turn in turns if turn.participant_id == who]
    return sum(any(start < begun < end for start, end in others) for begun in mine)


def _patience_ms(who: str, turns: Sequence[SpeakerTurn]) -> int | None:
    pauses = [
        turn.start_ms - before.end_ms
        for before, turn in pairwise(turns)
        if turn.participant_id == who and turn.start_ms >= before.end_ms
    ]
    return median_low(pauses) if pauses else None


def _balance(talk: Collection[int]) -> float:
    total, spoken = sum(talk), [share for share in talk if share]
    if len(talk) < 2 or not total:
        return 0.0
    entropy = -math.fsum(share / total * math.log(share / total) for share in spoken)
    return min(1.0, max(0.0, entropy / math.log(len(talk))))
