"""Interims: how long after a word it stands firm on the screen, how often shown text is rewritten, and contradicted."""

from collections.abc import Iterator, Sequence
from statistics import median

from bench.result import percentile
from bench.stt.calls import Call
from bench.stt.ours import Heard
from examples.interview.interview import Word
from services.stt.audio import SAMPLE_RATE_HERTZ
from services.stt.recogniser import FinalText, InterimText

_TOLERANCE_MS = 250
"""A word belongs to the utterance that it overlaps by this much."""


def figures(heard: Sequence[Heard], calls: Sequence[Call]) -> dict[str, float]:
    """Return lags in seconds and shares of interims and of utterances."""
    firm: list[float] = []
    shown: list[float] = []
    interims = rewritten = utterances = contradicted = 0
    for each, call in zip(heard, calls, strict=True):
        for final, hints in _utterances(each):
            before = ""
            for _, hint in hints:
                text = _plain(f"{hint.stable} {hint.unstable}")
                interims += 1
                rewritten += not text.startswith(before)
                before = text
            utterances += 1
            stable = _plain(hints[-1][1].stable) if hints else ""
            contradicted += not _plain(final.hypothesis.text).startswith(stable)
            firm += _lags(hints, final, call, each.delivered.started, firm_only=True)
            shown += _lags(hints, final, call, each.delivered.started, firm_only=False)
    return {
        "firm_lag_p50_s": median(firm),
        "firm_lag_p90_s": percentile(firm, 0.9),
        "shown_lag_p50_s": median(shown),
        "rewritten_share": rewritten / max(1, interims),
        "contradicted": float(contradicted),
        "utterances": float(utterances),
        "interims": float(interims),
        "words": float(len(firm)),
    }


def _utterances(heard: Heard) -> Iterator[tuple[FinalText, list[tuple[float, InterimText]]]]:
    hints: list[tuple[float, InterimText]] = []
    for moment, event in heard.events:
        if isinstance(event, InterimText):
            hints.append((moment, event))
        elif isinstance(event, FinalText):
            mine = [(moment, hint) for moment, hint in hints if hint.start_sample == event.start_sample]
            hints = [(moment, hint) for moment, hint in hints if hint.start_sample > event.start_sample]
            yield event, mine


def _lags(
    hints: Sequence[tuple[float, InterimText]], final: FinalText, call: Call, started: float, *, firm_only: bool
) -> Iterator[float]:
    """Yield the time from a word's end to the first interim that holds it, of utterances that were read exactly."""
    said = _said(call, final)
    texts = [_plain(word.word) for word in said]
    if texts != _plain(final.hypothesis.text).split():
        return
    there = 0
    for moment, hint in hints:
        words = _plain(hint.stable if firm_only else f"{hint.stable} {hint.unstable}").split()
        while there < min(len(words), len(texts)) and words[: there + 1] == texts[: there + 1]:
            yield moment - started - said[there].end_ms / 1_000
            there += 1


def _said(call: Call, final: FinalText) -> list[Word]:
    start, end = (sample * 1_000 / SAMPLE_RATE_HERTZ for sample in (final.start_sample, final.end_sample))
    return [
        word for word in call.words if word.start_ms >= start - _TOLERANCE_MS and word.end_ms <= end + _TOLERANCE_MS
    ]


def _plain(text: str) -> str:
    kept = "".join(each if each.isalnum() or each.isspace() else "" for each in text.casefold().replace("-", " "))
    return " ".join(kept.split())
