"""What a reader must know before trusting a report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from services.report.analysis.sentences import Sentence
from services.report.coverage import seconds
from services.report.transcript import Transcript
from services.report.wording import Wording

_MARKED = re.compile(r"[.?!…][\s\"'»”)]*$")
_PUNCTUATED_SHARE = 0.5
_DEMONSTRATION = ("demo", "mock", "tiny-whisper")


def warnings(transcript: Transcript, sentences: Sequence[Sentence], words: Wording) -> tuple[str, ...]:
    """Sentences about the speech models and about audio that is missing from the transcript."""
    return tuple(_warnings(transcript, sentences, words))


def _warnings(transcript: Transcript, sentences: Sequence[Sentence], words: Wording) -> Iterator[str]:
    demonstrations = [name for name in transcript.speech_engines if not {*name.split("/")}.isdisjoint(_DEMONSTRATION)]
    if demonstrations:
        yield words.label("warn_demo", engines=", ".join(demonstrations))
    if not sentences:
        yield words.label("warn_silent")
    elif sum(_MARKED.search(said.text) is not None for said in sentences) < len(sentences) * _PUNCTUATED_SHARE:
        yield words.label("warn_unpunctuated")
    for one in transcript.coverage:
        for kind in ("lost", "concealed", "withdrawn", "pending"):
            milliseconds = getattr(one.coverage_ms, kind)
            if milliseconds:
                yield words.label(f"warn_{kind}", seconds=seconds(milliseconds), name=one.display_name)
