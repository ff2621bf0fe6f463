"""What a corpus and a training are made of, and how a training runs. Plans are written beside what they made."""

from dataclasses import dataclass

CORPUS_SEED = 1
UTTERANCES = 7_000
STEPS = 5_000
SEED = 1
PEAK_RATE = 2e-3


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """Equal plans under the same espeak-ng make equal corpora."""

    seed: int = CORPUS_SEED
    utterances: int = UTTERANCES
    """Of each language."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Equal plans on the same torch, processor and thread count make equal models."""

    corpus: str
    """sha256 of the corpus's manifest."""
    steps: int = STEPS
    seed: int = SEED
    peak_rate: float = PEAK_RATE
    """Highest learning rate."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a training runs; of these, only the number of threads touches the result."""

    threads: int = 1
    until_step: int | None = None
    """Stop after this many steps, to be gone on with later."""
    report_seconds: float = 20.0
    checkpoint_seconds: float = 180.0
