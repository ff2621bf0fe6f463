"""Training windows: a function of their seed, with tokens in Whisper's order and times that only go forward."""

from random import Random

import numpy as np
import pytest

from tools.tiny_whisper.corpus import Utterance
from tools.tiny_whisper.curriculum import lesson
from tools.tiny_whisper.language import CODES, load_language
from tools.tiny_whisper.synthesis import FRAMES_PER_SECOND
from tools.tiny_whisper.vocabulary import build_tokenizer, lay_out
from tools.tiny_whisper.windows import IGNORED, Batch, Shape, WindowMaker

_TOKENIZER = build_tokenizer()
_LAYOUT = lay_out(_TOKENIZER)
_SHAPES = (
    Shape(windows=24, longest=420, anywhere=True),
    Shape(windows=24, longest=700, fill=(200, 600), anywhere=True),
    Shape(windows=12, longest=3000, fill=(800, 3000), padded=3000),
)


def _utterance(text: str, draw: Random) -> Utterance:
    """Each word a third of a second of its own hum."""
    words = text.split()
    frames = 33 * len(words)
    mel = np.random.default_rng(draw.getrandbits(32)).normal(-2.0, 1.0, (frames, 80)).astype(np.float16)
    times = tuple((0.33 * number, 0.33 * (number + 1)) for number in range(len(words)))
    return Utterance(text, times, mel)


def _maker() -> WindowMaker:
    draw = Random(1)
    corpus = {code: [_utterance(load_language(code).sentence(draw), draw) for _ in range(20)] for code in CODES}
    return WindowMaker(corpus, _TOKENIZER, _LAYOUT)


@pytest.fixture(scope="module", params=_SHAPES, ids=["single", "few", "30 s"])
def batch(request: pytest.FixtureRequest) -> Batch:
    return _maker().batch(request.param, "seed")


def test_a_batch_follows_from_its_seed_whatever_was_made_before() -> None:
    maker = _maker()
    maker.batch(_SHAPES[1], "something else")
    for shape in _SHAPES:
        again, first = maker.batch(shape, "1/batch/7"), _maker().batch(shape, "1/batch/7")
        for name in ("mel", "offsets", "inputs", "targets", "spans", "spoken"):
            assert np.array_equal(getattr(again, name), getattr(first, name)), name
    assert not np.array_equal(maker.batch(_SHAPES[0], "a").inputs[:, :4], maker.batch(_SHAPES[0], "b").inputs[:, :4])


def test_each_target_is_the_next_input(batch: Batch) -> None:
    for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
        for token, following in zip(targets[:-1], inputs[1:], strict=True):
            assert token in (IGNORED, following, _LAYOUT.end, _LAYOUT.no_speech)


def test_times_never_go_back_and_stay_in_the_window(batch: Batch) -> None:
    timed = 0
    for row, offset in zip(batch.targets, batch.offsets, strict=True):
        times = [token - _LAYOUT.first_time for token in row if token >= _LAYOUT.first_time]
        assert times == sorted(times)
        assert all(offset <= time <= offset + batch.mel.shape[2] // 2 + 1 for time in times)
        timed += bool(times)
    assert timed


def test_words_lie_in_the_sound_one_after_the_other(batch: Batch) -> None:
    for row in batch.spans:
        starts = [start for start, _ in row if start >= 0]
        assert starts == sorted(starts)
        assert all(start <= end <= batch.mel.shape[2] // 2 + 1 for start, end in row if start >= 0)


def test_the_mel_is_scaled_as_whisper_scales_it(batch: Batch) -> None:
    assert batch.mel.dtype == np.float32
    assert np.isfinite(batch.mel).all()
    assert batch.mel.shape[2] % 2 == 0
    for window in batch.mel:
        sound = window[:, window.any(axis=0)]
        assert float(sound.max() - sound.min()) <= 2.01


def test_windows_without_speech_teach_the_no_speech_token_alone() -> None:
    maker = _maker()
    silent = [
        (targets, spoken)
        for number in range(10)
        for batch in [maker.batch(_SHAPES[0], str(number))]
        for targets, spoken in zip(batch.targets, batch.spoken, strict=True)
        if targets[0] == _LAYOUT.no_speech
    ]
    assert silent
    for targets, spoken in silent:
        assert set(targets[1:]) == {IGNORED}
        assert set(spoken) == {IGNORED}


def test_utterances_that_fill_the_window_end_in_the_time_of_the_one_that_is_cut() -> None:
    maker = _maker()
    shape = Shape(windows=24, longest=5 * FRAMES_PER_SECOND, fill=(500, 500))
    ends = []
    for row in maker.batch(shape, "full").targets:
        said = [token for token in row if token != IGNORED]
        if len(said) > 3 and said[-2] >= _LAYOUT.first_time > said[-3]:
            ends.append(said[-2])
        elif len(said) > 3 and said[-2] >= _LAYOUT.first_time:
            # Two times in a row before the end: the last utterance ended before, the next one is cut.
            assert said[-2] >= said[-3] >= _LAYOUT.first_time
            ends.append(said[-2])
    assert ends


def test_lessons_begin_short_and_end_as_at_run_time() -> None:
    lessons = [lesson(step, 1_000, 2e-3, 1) for step in range(1_000)]
    assert lessons == [lesson(step, 1_000, 2e-3, 1) for step in range(1_000)]
    assert {one.stage for one in lessons[:600]} == {1}
    assert {one.stage for one in lessons[600:]} == {2}
    assert all(one.shape.padded is None for one in lessons[:600])
    assert any(one.shape.padded == 3000 for one in lessons[600:])
    assert max(one.rate for one in lessons) == pytest.approx(2e-3, rel=0.05)
    assert 0 < lessons[-1].rate < 5e-5
