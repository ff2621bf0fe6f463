"""PocketSphinx: it hears something, says who it is, and hears the same again; skipped where it is not installed."""

import numpy as np
import pytest

from services.stt.audio import Pcm, to_waveform
from services.stt.engines import pocketsphinx
from services.stt.engines.engine import Mode, Window
from services.stt.settings import SttSettings
from tests.data.speech.sentences import noise, sentences, silence

pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed: pip install -e '.[pocketsphinx]'")

_SETTINGS = SttSettings(provider="pocketsphinx", threads=1)


def _window(pcm: Pcm, mode: Mode = Mode.FINAL) -> Window:
    return Window(to_waveform(np.concatenate([silence(0.25), pcm, silence(0.3)])), "en", mode)


async def test_it_hears_something_of_a_synthetic_voice_and_says_that_it_is_poor_at_it():
    async with pocketsphinx.open_engine(_SETTINGS) as engine:
        heard = engine.decode([_window(sentence.pcm) for sentence in sentences("en")[:2]])
        [interim] = engine.decode([_window(sentences("en")[0].pcm, Mode.INTERIM)])
    assert engine.capabilities.languages == frozenset({"en"})
    assert "low accuracy" in engine.capabilities.note
    assert all(one.text for one in heard)
    assert "five years" in heard[1].text
    assert {(one.engine, one.model, one.language) for one in heard} == {("pocketsphinx", "en-us", "en")}
    for one in heard:
        assert one.text == " ".join(word.text for word in one.words)
        assert not set(one.text) & set("<>[]()")
        starts = [word.start_seconds for word in one.words]
        assert starts == sorted(starts)
        assert one.confidence == 0.0, "it does not know how sure it is"
    assert (interim.text, interim.words) == (heard[0].text, ())


async def test_what_it_hears_does_not_depend_on_what_it_heard_before():
    async with pocketsphinx.open_engine(_SETTINGS) as engine:
        [first] = engine.decode([_window(sentences("en")[1].pcm)])
        engine.decode([_window(noise(0.5, amplitude=3_000))])
        [again] = engine.decode([_window(sentences("en")[1].pcm)])
    assert again == first


@pytest.mark.parametrize("pcm", [silence(3.0), silence(0.0), silence(0.05)], ids=["silence", "nothing", "a moment"])
async def test_nothing_said_is_no_text(pcm: Pcm):
    async with pocketsphinx.open_engine(_SETTINGS) as engine:
        [heard] = engine.decode([Window(to_waveform(pcm), "en", Mode.FINAL)])
    assert (heard.text, heard.words) == ("", ())
