"""Windows to learn from: utterances on a time line, recorded somehow, with the tokens that a Whisper should write.

A window is a function of its seed alone, so a training can stop and go on as if it had not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tools.tiny_whisper import acoustics
from tools.tiny_whisper.acoustics import BANDS, Frames
from tools.tiny_whisper.corpus import Utterance
from tools.tiny_whisper.synthesis import FRAMES_PER_SECOND
from tools.tiny_whisper.vocabulary import TIMES_PER_SECOND, Layout, word_tokens

POSITIONS = 1500
"""Encoder frames in 30 s; each spans two mel frames."""
IGNORED = -100
"""A target that teaches nothing."""

_SILENT_SHARE = 0.05
_CUT_SHARE = 0.2
_PROMPTED_SHARE = 0.2
_TIMED_SHARE = 0.7
_LATEST_FIRST_SECONDS = 1.0
"""Whisper begins every window's text with a time of at most this."""

Ids = NDArray[np.int64]
Span = tuple[int, int]
"""First and end encoder frame of a word."""
_NOWHERE: Span = (-1, -1)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the windows of a batch are like; lengths in mel frames."""

    windows: int
    longest: int
    """A longer sound is cut."""
    fill: Span | None = None
    """Utterances follow each other until this much is filled, drawn between the two; None: one utterance."""
    padded: int | None = None
    """Length of every window; None: the longest one's and a bit."""
    anywhere: bool = False
    """Half the windows lie somewhere in the 30 s, not at their start: short sounds then teach all positions."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows as arrays."""

    mel: NDArray[np.float32]
    """Shape (windows, 80, frames); frames is even."""
    offsets: Ids
    """Position of each window's first encoder frame, shape (windows,)."""
    inputs: Ids
    """Shape (windows, tokens)."""
    targets: Ids
    """The token that follows each input, or IGNORED; shape (windows, tokens)."""
    spans: Ids
    """Where the target is spoken, relative to the window's first encoder frame, or -1; shape (windows, tokens, 2)."""
    spoken: Ids
    """Text token spoken at each encoder frame, end of text between words, IGNORED in silent windows;
    shape (windows, frames / 2)."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """An utterance on the time line; seconds from the window's first sample."""

    words: tuple[tuple[int, ...], ...]
    """Tokens of each word."""
    word_times: tuple[tuple[float, float], ...]
    start: float
    end: float


@dataclass(slots=True)
class _Writing:
    """The tokens of one window, growing."""

    inputs: list[int]
    targets: list[int]
    spans: list[Span]

    def add(self, token: int, span: Span = _NOWHERE) -> None:
        self.inputs.append(token)
        self.targets.append(token)
        self.spans.append(span)


@dataclass(frozen=True, slots=True)
class _Example:
    mel: Frames
    """Shape (frames, 80)."""
    offset: int
    writing: _Writing


class WindowMaker:
    """Makes batches out of a corpus."""

    def __init__(self, corpus: Mapping[str, Sequence[Utterance]], tokenizer: Tokenizer, layout: Layout) -> None:
        self._corpus = corpus
        self._tokenizer = tokenizer
        self._layout = layout

    def batch(self, shape: Shape, seed: str) -> Batch:
        """Return the batch of a seed."""
        draw = Random(seed)
        arrays = np.random.default_rng(draw.getrandbits(64))
        examples = [self._example(shape, draw, arrays) for _ in range(shape.windows)]
        longest = max(len(example.mel) for example in examples)
        frames = shape.padded or (longest + draw.randint(0, 60) + 1) // 2 * 2
        tokens = max(len(example.writing.inputs) for example in examples)
        batch = Batch(
            mel=np.zeros((shape.windows, BANDS, frames), np.float32),
            offsets=np.array([example.offset for example in examples]),
            inputs=np.full((shape.windows, tokens), self._layout.end),
            targets=np.full((shape.windows, tokens), IGNORED),
            spans=np.full((shape.windows, tokens, 2), -1),
            spoken=np.full((shape.windows, frames // 2), IGNORED),
        )
        for row, example in enumerate(examples):
            written = example.writing
            count = len(written.inputs)
            batch.mel[row, :, : len(example.mel)] = example.mel[:frames].T
            batch.inputs[row, :count] = written.inputs
            batch.targets[row, :count] = written.targets
            batch.spans[row, :count] = written.spans
            self._mark_spoken(batch.spoken[row], written)
        return batch

    def _example(self, shape: Shape, draw: Random, arrays: np.random.Generator) -> _Example:
        fill = draw.randint(*shape.fill) if shape.fill else 1
        offset = 0
        if shape.anywhere and draw.random() < 0.5:
            offset = draw.randint(0, POSITIONS - shape.longest // 2 - 60)
        language = draw.choice(tuple(self._corpus))
        if draw.random() < _SILENT_SHARE:
            return self._silent(max(fill, 61), offset, draw, arrays)
        mel, placed = self._place(language, shape, fill, draw)
        heard = len(mel) / FRAMES_PER_SECOND
        if placed[-1].end <= heard and draw.random() < _CUT_SHARE:
            # The last one is still speaking, but at least one word of theirs is complete.
            heard = draw.uniform(placed[-1].word_times[0][1], placed[-1].end)
            mel = mel[: max(20, round(heard * FRAMES_PER_SECOND))]
        mel = acoustics.normalise(acoustics.record(mel, draw, arrays))
        writing = self._write(language, placed, heard, offset, draw, full=len(mel) >= shape.longest)
        return _Example(acoustics.blot(mel, draw), offset, writing)

    def _silent(self, longest: int, offset: int, draw: Random, arrays: np.random.Generator) -> _Example:
        frames = draw.randint(60, longest)
        if draw.random() < 0.7:
            mel = acoustics.noise(frames, draw.uniform(-6, -1), draw, arrays)
        else:
            mel = acoustics.quiet(frames)
        mel = acoustics.normalise(mel, draw.choice((8.0, 7.0, 6.0, 4.0)))
        writing = _Writing([self._layout.start], [self._layout.no_speech], [_NOWHERE])
        return _Example(mel, offset, writing)

    def _place(self, language: str, shape: Shape, fill: int, draw: Random) -> tuple[Frames, list[_Placed]]:
        """Put utterances of one speaker behind each other, with pauses."""
        tract = draw.uniform(0.95, 1.06)
        pieces: list[Frames] = []
        placed: list[_Placed] = []
        at = 0
        pause = int(draw.choice((0, 5, 15, 40, 80)) * draw.random())
        while not placed or (shape.fill and at < min(fill, shape.longest) and at + pause + 60 < shape.longest):
            utterance = draw.choice(self._corpus[language])
            tempo = draw.uniform(0.9, 1.12)
            speech = acoustics.warp(utterance.mel, tempo, tract) + np.float32(draw.uniform(-0.15, 0.15))
            pieces += [acoustics.quiet(pause), speech]
            placed.append(self._placed(utterance, tempo, at + pause, len(speech)))
            at += pause + len(speech)
            pause = draw.choice((10, 25, 50, 100, 200)) + draw.randint(0, 60)
        pieces.append(acoustics.quiet(draw.choice((0, 0, 10, 40, 100))))
        return np.concatenate(pieces)[: shape.longest], placed

    def _placed(self, utterance: Utterance, tempo: float, first_frame: int, frames: int) -> _Placed:
        start = first_frame / FRAMES_PER_SECOND
        return _Placed(
            words=tuple(word_tokens(self._tokenizer, word) for word in utterance.text.split()),
            word_times=tuple((start + begin / tempo, start + end / tempo) for begin, end in utterance.word_times),
            start=start,
            end=start + frames / FRAMES_PER_SECOND,
        )

    def _write(
        self, language: str, placed: Sequence[_Placed], heard: float, offset: int, draw: Random, *, full: bool
    ) -> _Writing:
        """Write down what is said until `heard` (seconds)."""
        layout = self._layout
        timed = draw.random() < _TIMED_SHARE
        writing = _Writing([], [], [])
        if draw.random() < _PROMPTED_SHARE:
            self._write_prompt(writing, language, draw)
        writing.inputs += [layout.start, layout.languages[language]]
        writing.targets += [layout.languages[language], IGNORED]
        writing.spans += [_NOWHERE] * 2
        if timed:
            # What follows these is the first time, or the text if there are no times.
            writing.inputs.append(layout.transcribe)
        else:
            writing.inputs += [layout.transcribe, layout.no_times]
            writing.targets.append(IGNORED)
            writing.spans.append(_NOWHERE)
        late = offset / TIMES_PER_SECOND
        for number, one in enumerate(placed):
            start = one.start
            if number == 0 and offset == 0:
                start = min(start, _LATEST_FIRST_SECONDS)
            if timed:
                writing.add(layout.time(start + late))
            if timed and full and number > 0 and one.end > heard:
                # Whisper's way to say that an utterance begins here and is to be heard in the next window.
                break
            for word, (begin, end) in zip(one.words, one.word_times, strict=True):
                if end <= heard + 0.02:
                    for token in word:
                        writing.add(token, (round(begin * TIMES_PER_SECOND), round(end * TIMES_PER_SECOND)))
            if timed:
                writing.add(layout.time(min(one.end, heard) + late))
        writing.targets.append(layout.end)
        writing.spans.append(_NOWHERE)
        return writing

    def _write_prompt(self, writing: _Writing, language: str, draw: Random) -> None:
        """Put the text of some other utterance before; it is not to be learnt."""
        earlier = draw.choice(self._corpus[language]).text
        tokens = [token for word in earlier.split() for token in word_tokens(self._tokenizer, word)]
        writing.inputs += [self._layout.previous, *tokens]
        writing.targets += [IGNORED] * (len(tokens) + 1)
        writing.spans += [_NOWHERE] * (len(tokens) + 1)

    def _mark_spoken(self, spoken: Ids, written: _Writing) -> None:
        """Name the word at each encoder frame; of a word with its mark, the word."""
        if any(span != _NOWHERE for span in written.spans):
            spoken[:] = self._layout.end
        taken: Span = _NOWHERE
        for target, span in zip(written.targets, written.spans, strict=True):
            if span not in (_NOWHERE, taken):
                spoken[span[0] : span[1]] = target
                taken = span
