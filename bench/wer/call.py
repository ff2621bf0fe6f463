"""The call: sentences of our model's vocabulary, spoken by espeak-ng on two tracks, with pauses and interruptions."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random

import numpy as np

from examples.interview.espeak import Voice, load_synthesiser
from examples.interview.interview import SAMPLE_RATE_HERTZ, Interview, Track
from examples.interview.script import Script, Speaker, Turn
from examples.interview.timeline import perform
from tools.tiny_whisper.language import load_language

LANGUAGES = ("en", "ru")
_VOICES = {"en": ("en-us+f1", "en-us+m3"), "ru": ("ru+f2", "ru+m2")}
_PAUSES_MS = (650, 2_600)
_INTERRUPTIONS_MS = (-900, -200)
_INTERRUPTED_SHARE = 0.1
_SECONDS_PER_TURN = 4.0
"""A sentence and the pause before it, about."""
_HISS = 12.0
"""Of 32,768: a quiet room."""


@dataclass(frozen=True, slots=True)
class Side:
    """One speaker's track and all that is said on it."""

    name: str
    pcm: Track
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Two sides of one length."""

    language: str
    sides: tuple[Side, ...]

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.sides[0].pcm) / SAMPLE_RATE_HERTZ


def make_call(language: str, minutes: float, seed: int) -> Call:
    """Speak a call of about this length; the same seed and the same espeak-ng give the same samples.

    Raises:
        SynthesiserMissing: espeak-ng is not installed.
    """
    # In a process of its own: what the synthesiser said before would colour its noise.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as processes:
        interview = processes.submit(_perform, language, minutes, seed).result()
    draw = np.random.default_rng(seed)
    sides = []
    for speaker in interview.speakers:
        hiss = draw.normal(0.0, _HISS, len(interview.tracks[speaker.id]))
        pcm = (interview.tracks[speaker.id] + hiss).clip(-32_768, 32_767).astype(np.int16)
        sides.append(Side(speaker.id, pcm, interview.text(speaker.id)))
    return Call(language, tuple(sides))


def _perform(language: str, minutes: float, seed: int) -> Interview:
    draw, words = Random(f"{seed}/{language}"), load_language(language)
    speakers = tuple(
        Speaker(id=name, name=name, role=role, voice=Voice(voice, words_per_minute=155, volume=50))
        for name, role, voice in zip(("one", "two"), ("interviewer", "candidate"), _VOICES[language], strict=True)
    )
    turns: list[Turn] = []
    for _ in range(round(minutes * 60 / _SECONDS_PER_TURN)):
        before = turns[-2:]
        speaker = draw.choice(speakers).id
        # Only who was not just speaking, nor interrupted, can talk into another's sentence.
        interrupts = len(before) == 2 and all(turn.speaker != speaker for turn in before)
        spans = _INTERRUPTIONS_MS if interrupts and draw.random() < 3 * _INTERRUPTED_SHARE else _PAUSES_MS
        turns.append(Turn(speaker=speaker, text=words.sentence(draw), pause_ms=draw.randint(*spans)))
    turns[0] = turns[0].model_copy(update={"pause_ms": 1_000})
    script = Script(language=language, tail_ms=2_000, speakers=speakers, turns=tuple(turns))
    return perform(script, load_synthesiser())
