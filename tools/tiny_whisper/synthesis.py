"""Sentences turned into sound of which it is known when each word starts, and into what Whisper sees of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from random import Random

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray

from examples.interview.codec import Pcm, through_opus
from examples.interview.espeak import SpeechSource, Voice
from examples.interview.interview import HERE as SAMPLE_CALL
from examples.interview.interview import SAMPLE_RATE_HERTZ
from examples.interview.script import Script, Speaker, Turn, load_script
from examples.interview.synthesise import SCRIPT_FILE
from examples.interview.timeline import perform
from tools.tiny_whisper.language import Language, load_language
from tools.tiny_whisper.voices import draw_voice

Mel = NDArray[np.floating]
"""Base-10 logarithm of mel power, 100 frames per second, shape (frames, 80)."""

FRAMES_PER_SECOND = 100
FLOOR = -10.0
"""Digital silence in a `Mel`."""

_EXTRACTOR = FeatureExtractor(feature_size=80)
_HOP_SAMPLES = SAMPLE_RATE_HERTZ // FRAMES_PER_SECOND
_OPUS_BIT_RATES = (16_000, 24_000, 32_000)


class Kind(Enum):
    """What is said, and how it arrives."""

    SAMPLE = "sentences of the sample call"
    """What `make demo` says, whatever else a model was taught: two models compare best over these."""
    SENTENCE = "sentences"
    """All that the grammar gives."""
    SHUFFLED = "shuffled words"
    CALLED = "sentences through Opus"
    """As a call would carry them: Opus in voice mode. It muffles `first`, `six` and `Friday` above all."""


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence, its sound without quiet around it, and when each word is spoken."""

    language: str
    kind: Kind
    text: str
    voice: str
    pcm: Pcm
    """16 kHz."""
    word_times: tuple[tuple[float, float], ...]
    """Start and end in seconds, one for each blank-separated word of the text."""


def speak(
    synthesiser: SpeechSource, language: str, kind: Kind, text: str, voice: Voice, bit_rate: int
) -> SpokenSentence:
    """Say one text; `bit_rate` (bit/s) is that of Opus, and counts for `Kind.CALLED` alone."""
    speaker = Speaker(id="speaker", name="Speaker", role="candidate", voice=voice)
    turn = Turn(speaker=speaker.id, text=text, pause_ms=0)
    spoken = perform(Script(language=language, tail_ms=0, speakers=(speaker,), turns=(turn,)), synthesiser)
    [utterance] = spoken.utterances()
    pcm = spoken.tracks[speaker.id][: utterance.end_ms * SAMPLE_RATE_HERTZ // 1000]
    if kind is Kind.CALLED:
        pcm = through_opus(pcm, SAMPLE_RATE_HERTZ, bit_rate=bit_rate)[: len(pcm)]
    times = tuple((word.start_ms / 1000, word.end_ms / 1000) for word in utterance.words)
    return SpokenSentence(language, kind, text, voice.name, pcm, times)


def speak_some(
    synthesiser: SpeechSource, language: str, kinds: tuple[Kind, ...], count: int, *, seed: str, held_out: bool
) -> Iterator[SpokenSentence]:
    """Say `count` sentences of a language, each kind in turn; the same seed in a new process gives the same sound."""
    draw = Random(seed)
    grammar = load_language(language)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        text = _text(grammar, kind, draw)
        voice = draw_voice(language, draw, held_out=held_out)
        yield speak(synthesiser, language, kind, text, voice, draw.choice(_OPUS_BIT_RATES))


def _text(grammar: Language, kind: Kind, draw: Random) -> str:
    if kind is Kind.SAMPLE:
        return grammar.spelled(draw.choice(_sample_sentences(grammar.code)))
    return grammar.shuffle(draw) if kind is Kind.SHUFFLED else grammar.sentence(draw)


@cache
def _sample_sentences(language: str) -> tuple[str, ...]:
    return tuple(turn.text for turn in load_script(SAMPLE_CALL / language / SCRIPT_FILE).turns)


def mel_of(pcm: Pcm) -> Mel:
    """Return what Whisper's front end makes of a sound, before it is scaled to its window; float16."""
    waveform = np.pad(pcm.astype(np.float32) / np.float32(32_768), (0, _HOP_SAMPLES))
    window = np.hanning(_EXTRACTOR.n_fft + 1)[:-1].astype(np.float32)
    spectrum = _EXTRACTOR.stft(waveform, _EXTRACTOR.n_fft, _EXTRACTOR.hop_length, window=window, return_complex=True)
    power = _EXTRACTOR.mel_filters @ (np.abs(spectrum[..., :-1]).astype(np.float32) ** 2)
    scaled: Mel = np.log10(np.maximum(power, 10**FLOOR)).T.astype(np.float16)
    return scaled
