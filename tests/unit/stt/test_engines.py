"""Engines: what our own model hears, how results are labelled, and what is said when a model cannot be had."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest

from services.stt.audio import Pcm, samples_of, to_waveform
from services.stt.engines import mock, registry
from services.stt.engines.engine import Mode, SpeechEngine, Window
from services.stt.engines.model_files import check_files, locate_model
from services.stt.errors import EngineNotReady
from services.stt.models import tiny_whisper_directory
from services.stt.settings import SttSettings
from tests.data.speech.sentences import Sentence, noise, sentences, silence

_DEMO = SttSettings(provider="demo", threads=2)


def _window(pcm: Pcm, language: str | None = None, mode: Mode = Mode.FINAL) -> Window:
    return Window(to_waveform(np.concatenate([silence(0.25), pcm, silence(0.3)])), language, mode)


@pytest.mark.parametrize("mode", list(Mode))
async def test_the_demonstration_model_hears_its_sentences_exactly(mode: Mode) -> None:
    async with registry.open_engine(_DEMO) as engine:
        windows = [_window(sentence.pcm, mode=mode) for sentence in sentences()]
        heard = engine.decode(windows)
    assert [(one.text, one.language) for one in heard] == [(said.text, said.language) for said in sentences()]


async def test_finals_have_words_in_time_order() -> None:
    sentence = sentences("en")[1]
    async with registry.open_engine(_DEMO) as engine:
        [heard] = engine.decode([_window(sentence.pcm, "en")])
    assert " ".join(word.text for word in heard.words) == sentence.text
    starts = [word.start_seconds for word in heard.words]
    assert starts == sorted(starts)
    assert 0.5 < heard.confidence <= 1.0


async def test_every_result_of_the_demonstration_model_says_so() -> None:
    async with registry.open_engine(_DEMO) as engine:
        assert engine.capabilities.languages == frozenset({"en", "ru"})
        for mode in Mode:
            [heard] = engine.decode([_window(sentences()[0].pcm, mode=mode)])
            assert (heard.engine, heard.model) == ("demo", "tiny-whisper")


@pytest.mark.parametrize("pcm", [silence(3.0), noise(3.0), silence(0.0)], ids=["silence", "noise", "nothing"])
async def test_nothing_said_is_no_text(pcm: Pcm) -> None:
    async with registry.open_engine(_DEMO) as engine:
        [heard] = engine.decode([Window(to_waveform(pcm), "en", Mode.FINAL)])
    assert heard.text == ""
    assert heard.words == ()


async def test_finals_do_not_depend_on_what_is_decoded_beside_them() -> None:
    def decode(engine: SpeechEngine, sentence: Sentence) -> object:
        return engine.decode([_window(sentence.pcm)])

    async with registry.open_engine(_DEMO) as engine:
        alone = [decode(engine, sentence) for sentence in sentences()]
        with ThreadPoolExecutor(4) as threads:
            together = list(threads.map(lambda sentence: decode(engine, sentence), sentences()))
    assert together == alone


async def test_a_model_directory_is_loaded_under_its_own_name() -> None:
    settings = SttSettings(provider="auto", model=str(tiny_whisper_directory()), threads=1)
    async with registry.open_engine(settings) as engine:
        assert (engine.capabilities.engine, engine.capabilities.model) == ("faster_whisper", "tiny_whisper")


@pytest.mark.parametrize("missing", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_model_without_a_file_is_refused_by_the_files_name(tmp_path: Path, missing: str) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_whisper_directory(), model)
    (model / missing).unlink()
    with pytest.raises(EngineNotReady, match=f"lacks {missing}"):
        check_files(model)


def test_a_broken_file_is_refused_by_its_name(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_whisper_directory(), model)
    (model / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(EngineNotReady, match=r"config\.json cannot be read"):
        check_files(model)


async def test_a_model_that_is_no_model_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_whisper_directory(), model)
    (model / "model.bin").write_bytes(b"not a model")
    with pytest.raises(EngineNotReady, match="does not load with STT_DEVICE=cpu"):
        async with registry.open_engine(SttSettings(model=str(model), threads=1)):
            pass


async def test_a_model_whose_bands_do_not_fit_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_whisper_directory(), model)
    (model / "preprocessor_config.json").write_text(json.dumps({"feature_size": 128}), encoding="utf-8")
    with pytest.raises(EngineNotReady, match=r"preprocessor_config\.json"):
        async with registry.open_engine(SttSettings(model=str(model), threads=1)):
            pass


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("/no/such/model", "there is no such directory"),
        ("./model", "there is no such directory"),
        ("enormous", "nor one of tiny"),
        ("owner/no such name", "not a name the hub knows"),
        ("owner/not-downloaded", "was not downloaded before, and STT_OFFLINE=true. Set STT_MODEL to the directory"),
    ],
)
async def test_a_model_that_is_not_here_is_explained(model: str, sentence: str) -> None:
    with pytest.raises(EngineNotReady, match=sentence):
        await locate_model(model, offline=True)


async def test_a_download_that_was_cut_off_is_not_taken_for_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--somebody--small" / "snapshots" / ("0" * 40)
    shutil.copytree(tiny_whisper_directory(), snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert (await locate_model("somebody/small", offline=True)).directory == snapshot
    (snapshot / "model.bin").unlink()
    with pytest.raises(EngineNotReady, match=r"lacks model\.bin"):
        await locate_model("somebody/small", offline=True)


async def test_an_unknown_engine_is_refused_with_those_there_are() -> None:
    with pytest.raises(EngineNotReady, match="there are auto, faster_whisper, openai_http, pocketsphinx, demo, mock"):
        async with registry.open_engine(SttSettings(provider="psychic")):
            pass


async def test_auto_never_falls_back_to_the_demonstration_model() -> None:
    with pytest.raises(EngineNotReady, match="STT_PROVIDER=demo tries the path with synthetic voices only"):
        async with registry.open_engine(SttSettings(provider="auto", model="large-v3", offline=True)):
            pass


async def test_the_mock_says_the_same_for_the_same_sound() -> None:
    async with mock.open_engine(SttSettings(provider="mock")) as engine:
        pcm = noise(4.0)
        [first], [again] = engine.decode([_window(pcm)]), engine.decode([_window(pcm)])
        [interim] = engine.decode([Window(_window(pcm).waveform[: samples_of(1.5)], None, Mode.INTERIM)])
    assert first == again
    assert first.text in mock.SCRIPT
    assert first.text.startswith(interim.text)
