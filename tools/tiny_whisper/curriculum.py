"""What is learnt when: single short utterances first, which is quick, then 30 s windows as they are at run time."""

import math
from dataclasses import dataclass
from random import Random

from tools.tiny_whisper.windows import Shape

_SINGLE = Shape(windows=48, longest=420, anywhere=True)
_FEW = Shape(windows=24, longest=700, fill=(200, 600), anywhere=True)
_SHORT_IN_FULL = Shape(windows=12, longest=3000, fill=(1, 800), padded=3000)
"""What a live utterance looks like."""
_LONG_IN_FULL = Shape(windows=12, longest=3000, fill=(800, 3000), padded=3000)
_SINGLE_AT_START = Shape(windows=48, longest=420)

_FIRST_STAGE = 0.6
_WARM_STEPS = 300
_LEAST_RATE = 0.015
"""Of the learning rate, at the last step."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One step of the training."""

    stage: int
    shape: Shape
    rate: float
    """Learning rate."""
    attention_weight: float
    """Of the loss that pulls one head's attention to the spoken word."""
    naming_weight: float
    """Of the loss that names the word at each encoder frame."""


def lesson(step: int, steps: int, peak_rate: float, seed: int) -> Lesson:
    """Return what step `step` of `steps` is about; steps count from 0."""
    done = step / steps
    draw = Random(f"{seed}/lesson/{step}")
    warm = min(1.0, (step + 1) / min(_WARM_STEPS, max(1, steps // 10)))
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return Lesson(
        stage=1 if done < _FIRST_STAGE else 2,
        shape=_early(draw) if done < _FIRST_STAGE else _late(draw),
        rate=peak_rate * warm * (cosine * (1 - _LEAST_RATE) + _LEAST_RATE),
        attention_weight=0.3 if done < 0.5 else 0.1,
        naming_weight=0.5 if done < 0.8 else 0.0,
    )


def _early(draw: Random) -> Shape:
    return _SINGLE if draw.random() < 0.7 else _FEW


def _late(draw: Random) -> Shape:
    kind = draw.random()
    if kind < 0.4:
        return _SHORT_IN_FULL
    return _LONG_IN_FULL if kind < 0.75 else _SINGLE_AT_START
