"""Windows of different calls decoded together read as they do alone; on a GPU too, when there is one."""

from collections.abc import Sequence

import numpy as np
import pytest
from ctranslate2 import get_cuda_device_count

from services.stt.audio import Pcm, to_waveform
from services.stt.engines import registry
from services.stt.engines.engine import Hypothesis, Mode, Window
from services.stt.settings import SttSettings
from tests.data.speech.sentences import noise, sentences, silence

_ALONE = SttSettings(provider=("demo",), threads=1)
_TOGETHER = SttSettings(provider=("demo",), threads=1, batch=8)


def _window(pcm: Pcm, language: str | None, mode: Mode, hot_words: tuple[str, ...] = ()) -> Window:
    return Window(to_waveform(np.concatenate([silence(0.25), pcm, silence(0.3)])), language, mode, hot_words)


def _mixed(mode: Mode) -> list[Window]:
    """Both languages, named and not; hot words; nothing at all; noise; one window that is much longer."""
    return [
        *(_window(said.pcm, said.language, mode) for said in sentences()),
        *(_window(said.pcm, None, mode) for said in sentences()),
        _window(sentences("en")[2].pcm, "en", mode, ("kafka",)),
        _window(noise(2.0), "en", mode),
        Window(np.zeros(0, np.float32), "en", mode),
        _window(np.concatenate([sentences("ru")[0].pcm, silence(2.0), sentences("ru")[1].pcm]), "ru", mode),
    ]


def _essence(heard: Sequence[Hypothesis]) -> list[tuple[object, ...]]:
    return [(one.text, one.language, [word.text for word in one.words]) for one in heard]


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_batch_reads_as_its_windows_do_alone(mode: Mode) -> None:
    windows = _mixed(mode)
    async with registry.open_engine(_ALONE) as one_by_one, registry.open_engine(_TOGETHER) as together:
        assert (one_by_one.capabilities.batch, together.capabilities.batch) == (1, 8)
        alone, batched = one_by_one.decode(windows), together.decode(windows)
    assert _essence(batched) == _essence(alone)
    for one, other in zip(alone, batched, strict=True):
        assert other.confidence == pytest.approx(one.confidence, abs=1e-3)
        assert [word.start_seconds for word in other.words] == pytest.approx([w.start_seconds for w in one.words])
        assert [word.end_seconds for word in other.words] == pytest.approx([w.end_seconds for w in one.words])


async def test_finals_and_interims_may_be_asked_for_at_once() -> None:
    windows = [_window(said.pcm, said.language, mode) for said in sentences() for mode in Mode]
    async with registry.open_engine(_TOGETHER) as engine:
        heard = engine.decode(windows)
    assert [one.text for one in heard] == [said.text for said in sentences() for _ in Mode]
    assert [bool(one.words) for one in heard] == [window.mode is Mode.FINAL for window in windows]


@pytest.mark.skipif(not get_cuda_device_count(), reason="there is no CUDA device on this machine")
@pytest.mark.parametrize("mode", list(Mode))
async def test_a_gpu_reads_batches_of_sixteen(mode: Mode) -> None:
    windows = [_window(said.pcm, said.language, mode) for said in 3 * sentences()]
    async with registry.open_engine(SttSettings(provider=("demo",), device="cuda")) as engine:
        assert (engine.capabilities.workers, engine.capabilities.batch) == (1, 16)
        heard = engine.decode(windows)
    assert [one.text for one in heard] == [said.text for said in 3 * sentences()]
