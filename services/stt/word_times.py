"""Word times, held to where a voice was heard.

A model gives the quiet before an utterance to its first word and takes the sound of the last one for quiet: a quarter
of a second, and a third, with ours (medians). Endpointing knows within two windows where the voice began and ended.
"""

from dataclasses import replace

from services.stt.audio import SAMPLE_RATE_HERTZ
from services.stt.endpointing import Utterance
from services.stt.engines.engine import HeardWord, Hypothesis

_LONGEST_ENDING_SECONDS = 0.5
"""What goes on for longer after the last word was not a word any more, but a laugh."""


def held_to_speech(hypothesis: Hypothesis, utterance: Utterance) -> Hypothesis:
    """Return the hypothesis with its first word beginning, and its last one ending, where the speech does."""
    if not hypothesis.words:
        return hypothesis
    first = (utterance.speech_start_sample - utterance.start_sample) / SAMPLE_RATE_HERTZ
    last = (utterance.end_sample - utterance.start_sample) / SAMPLE_RATE_HERTZ
    words = [_held(word, first, last) for word in hypothesis.words]
    ending = min(last, words[-1].end_seconds + _LONGEST_ENDING_SECONDS)
    words[-1] = replace(words[-1], end_seconds=ending)
    return replace(hypothesis, words=tuple(words))


def _held(word: HeardWord, first: float, last: float) -> HeardWord:
    start = min(max(word.start_seconds, first), last)
    return replace(word, start_seconds=start, end_seconds=min(max(word.end_seconds, start), last))
