"""The chain of engines: who decodes a window when another fails, and what the hypothesis says about it."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from services.stt.audio import to_waveform
from services.stt.engines import demo, registry
from services.stt.engines.breaker import Breaker
from services.stt.engines.chain import EngineChain, Link
from services.stt.engines.engine import Capabilities, HeardWord, Hypothesis, Mode, SpeechEngine, Window
from services.stt.engines.openai_http import open_service
from services.stt.errors import EngineFailed, EngineNotReady, RecognitionOff, WindowRefused
from services.stt.ledger import Ledger
from services.stt.models import tiny_whisper_directory
from services.stt.pool import open_pool
from services.stt.settings import OpenAiSettings, SttSettings
from tests.data.speech.sentences import sentences
from tests.fakes.transcription_service import KEY, Reply, running_service, words_reply

_SENTENCE = sentences("en")[1]
_SPEECH = Window(to_waveform(np.pad(_SENTENCE.pcm, 4_000)), "en", Mode.FINAL)
_DEMO = SttSettings(provider=("demo",), threads=1)


class _Scripted:
    """An engine that fails as it is told."""

    def __init__(self, name: str, error: Exception | None = None, **more: Any) -> None:
        self.error = error
        self.asked = 0
        facts: dict[str, Any] = {"languages": None, "word_times": False, "punctuated": True, "workers": 1}
        self.capabilities = Capabilities(name, f"{name}-model", **(facts | more))

    def warm_up(self) -> None:
        return

    def decode(self, windows: Any) -> list[Hypothesis]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        me = self.capabilities
        return [Hypothesis(f"heard by {me.engine}", (), -0.1, 0.0, "en", 1.0, me.engine, me.model) for _ in windows]


def _link(engine: SpeechEngine, *, threshold: int = 2) -> Link:
    return Link(engine, Breaker(threshold=threshold, rest_seconds=60.0))


@asynccontextmanager
async def _service(url: str, **stt: Any) -> AsyncIterator[SpeechEngine]:
    service = OpenAiSettings(openai_base_url=url, openai_api_key=SecretStr(KEY), whisper_rate_per_min_usd=0.6)
    async with open_service(SttSettings(openai_attempts=1, **stt), service) as engine:
        yield engine


async def test_what_a_dead_service_fails_the_next_engine_decodes_and_signs():
    with socket.create_server(("127.0.0.1", 0)) as server:
        dead = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    async with _service(dead) as away, demo.open_engine(_DEMO) as here:
        chain = EngineChain([_link(away), _link(here)])
        for _ in range(3):
            [heard] = chain.decode([_SPEECH])
            assert (heard.text, heard.engine, heard.model) == (_SENTENCE.text, "demo", "tiny-whisper")
            assert heard.cost_usd == 0.0
    assert [link.breaker.state.state for link in chain.links] == ["open", "closed"]
    assert chain.links[0].breaker.state.failures == 2, "it was not asked a third time"


async def test_a_service_that_comes_back_is_used_again():
    with running_service(Reply(500, b""), words_reply("It is back.")) as service:
        async with _service(service.url) as away, demo.open_engine(_DEMO) as here:
            patient = Link(away, Breaker(threshold=1, rest_seconds=0.05))
            service.script.insert(0, Reply(500, b""))
            chain = EngineChain([patient, _link(here)])
            assert chain.decode([_SPEECH])[0].engine == "demo"
            assert patient.breaker.state.state == "open"
            async with asyncio.timeout(5):
                while (heard := chain.decode([_SPEECH])[0]).engine == "demo":  # noqa: ASYNC110 - time is what opens it
                    await asyncio.sleep(0.02)
    assert (heard.text, patient.breaker.state.state) == ("It is back.", "closed")


def test_a_refused_window_goes_on_without_harm_to_the_breaker():
    picky, other = _Scripted("picky", WindowRefused("too large")), _Scripted("other")
    chain = EngineChain([_link(picky), _link(other)])
    for _ in range(5):
        assert [one.engine for one in chain.decode([_SPEECH, _SPEECH])] == ["other", "other"]
    assert chain.links[0].breaker.state.state == "closed"


def test_any_exception_of_an_engine_is_its_failure():
    chain = EngineChain([_link(_Scripted("broken", RuntimeError("CUDA out of memory"))), _link(_Scripted("other"))])
    assert chain.decode([_SPEECH])[0].engine == "other"


def test_an_engine_is_not_asked_for_languages_it_does_not_know():
    english = _Scripted("english", languages=frozenset({"en"}))
    many = _Scripted("many", languages=frozenset({"en", "ru"}))
    chain = EngineChain([_link(english), _link(many)])
    assert chain.capabilities.languages == frozenset({"en", "ru"})
    russian = Window(_SPEECH.waveform, "ru", Mode.FINAL)
    assert [one.engine for one in chain.decode([_SPEECH, russian])] == ["english", "many"]
    many.error = RuntimeError()
    with pytest.raises(EngineFailed):
        chain.decode([russian])


def test_a_final_that_nobody_decodes_fails_with_the_time_to_come_back():
    chain = EngineChain([_link(_Scripted("a", RuntimeError("x"))), _link(_Scripted("b", EngineFailed("y")))])
    for _ in range(2):
        with pytest.raises(EngineFailed, match=r"no speech engine decoded this \(a, b\): y"):
            chain.decode([_SPEECH])
    with pytest.raises(EngineFailed, match="rests for 60 s") as caught:
        chain.decode([_SPEECH])
    assert caught.value.retry_after_seconds == pytest.approx(60, abs=1)


def test_a_wish_for_rest_opens_the_breaker_at_once():
    chain = EngineChain([_link(_Scripted("a", EngineFailed("busy", retry_after_seconds=90))), _link(_Scripted("b"))])
    assert chain.decode([_SPEECH])[0].engine == "b"
    assert chain.links[0].breaker.rest_seconds == pytest.approx(90, abs=1)


def test_interims_are_asked_only_of_engines_that_give_them_and_never_fail():
    dear, cheap = _Scripted("dear", interims=False), _Scripted("cheap", RuntimeError("away"))
    chain = EngineChain([_link(cheap), _link(dear)])
    interim = Window(_SPEECH.waveform, "en", Mode.INTERIM)
    assert chain.decode([interim])[0].text == ""
    assert dear.asked == 0
    assert not EngineChain([_link(dear), _link(cheap)]).capabilities.interims


def test_an_engine_of_our_own_that_stands_alone_has_no_breaker_in_its_way():
    engine = _Scripted("own", RuntimeError("this window is broken"))
    chain = EngineChain([_link(engine, threshold=1)])
    for _ in range(3):
        with pytest.raises(RuntimeError, match="this window is broken"):
            chain.decode([_SPEECH])
    assert engine.asked == 3
    assert chain.links == ()


async def test_a_service_that_stands_alone_has_a_breaker():
    with running_service(Reply(body={"text": ""}), Reply(503, b"")) as service:
        async with _service(service.url) as engine:
            chain = EngineChain([_link(engine)])
            for _ in range(4):
                with pytest.raises(EngineFailed):
                    chain.decode([_SPEECH])
    assert len(service.asked) == 1 + 2


async def test_decodes_are_charged_to_who_had_them_made():
    with running_service(words_reply("Yes.")) as service:
        async with _service(service.url) as engine:
            ledger = Ledger()
            async with open_pool(EngineChain([_link(engine)]), ledger) as pool:
                for tenant in ("one", "one", "two"):
                    await pool.decode_final(_SPEECH, due=0.0, tenant=tenant)
    seconds = len(_SPEECH.waveform) / 16_000
    one, two = ledger.accounts
    assert one[:2] == ("openai_http", "one")
    assert one[2].audio_seconds == pytest.approx(2 * seconds)
    assert one[2].cost_usd == pytest.approx(2 * seconds / 60 * 0.6)
    assert two[:2] == ("openai_http", "two")
    assert ledger.cost_usd == pytest.approx(3 * seconds / 60 * 0.6)


@pytest.mark.parametrize("provider", ["openai_http,demo", "mock,openai_http", "auto,demo"])
async def test_engines_that_invent_speech_cannot_stand_in_for_others(provider: str):
    with pytest.raises(EngineNotReady, match=r"says what nobody said, so it cannot stand in"):
        async with registry.open_engine(SttSettings(provider=provider)):
            pass


async def test_nor_can_the_demonstration_model_under_another_name(monkeypatch: pytest.MonkeyPatch):
    with running_service(words_reply("Yes.")) as service:
        monkeypatch.setenv("OPENAI_BASE_URL", service.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        settings = SttSettings(provider="openai_http,faster_whisper", model=str(tiny_whisper_directory()), threads=1)
        with pytest.raises(EngineNotReady, match="faster_whisper says what nobody said"):
            async with registry.open_engine(settings):
                pass


async def test_a_service_without_its_key_is_left_out_and_alone_switches_recognition_off(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    pytest.importorskip("pocketsphinx")
    async with registry.open_engine(SttSettings(provider="openai_http,pocketsphinx", threads=1)) as engine:
        assert [member.engine for member in engine.members] == ["pocketsphinx"]
        assert engine.off == ""
    async with registry.open_engine(SttSettings(provider="openai_http")) as nothing:
        assert nothing.members == ()
        assert nothing.off.startswith("STT_PROVIDER=openai_http: OPENAI_API_KEY is empty")
        with pytest.raises(RecognitionOff):
            nothing.decode([_SPEECH])


async def test_an_installed_package_adds_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "parrot.py").write_text(
        "from contextlib import asynccontextmanager\n"
        "from services.stt.engines.engine import Capabilities, Hypothesis\n"
        "class Parrot:\n"
        "    capabilities = Capabilities('parrot', 'green', None, word_times=False, punctuated=False, workers=1)\n"
        "    def warm_up(self): pass\n"
        "    def decode(self, windows):\n"
        "        return [Hypothesis('hello', (), -0.1, 0.0, 'en', 1.0, 'parrot', 'green') for _ in windows]\n"
        "@asynccontextmanager\n"
        "async def open_engine(settings):\n"
        "    yield Parrot()\n"
    )
    facts = tmp_path / "parrot-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{registry.ENTRY_POINT_GROUP}]\nparrot = parrot:open_engine\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert "parrot" in {entry.name for entry in registry.installed_engines()}
        async with registry.open_engine(SttSettings(provider="parrot")) as engine:
            assert engine.decode([_SPEECH])[0].text == "hello"
    finally:
        sys.modules.pop("parrot", None)


@pytest.mark.parametrize(
    ("probability", "mode", "text"),
    [(0.29, Mode.FINAL, ""), (0.31, Mode.FINAL, "word"), (0.0, Mode.FINAL, "word"), (0.29, Mode.INTERIM, "word")],
    ids=["unsure", "sure", "does not say", "interim"],
)
def test_a_final_that_its_engine_is_not_sure_of_at_all_has_no_text(probability: float, mode: Mode, text: str):
    class Unsure(_Scripted):
        def decode(self, windows: Any) -> list[Hypothesis]:
            word = HeardWord("word", 0.0, 0.1, probability)
            return [Hypothesis("word", (word,), -0.1, 0.0, "en", 1.0, "unsure", "model") for _ in windows]

    chain = EngineChain([_link(Unsure("unsure", least_confidence=0.3))])
    [heard] = chain.decode([Window(_SPEECH.waveform, "en", mode)])
    assert heard.text == text
    assert bool(heard.words) == bool(text)


@pytest.mark.parametrize(("probability", "far", "text"), [(0.6, False, "word"), (0.6, True, ""), (0.75, True, "word")])
def test_what_is_heard_from_afar_must_be_surer_where_that_is_asked_for(probability: float, far: bool, text: str):
    class Unsure(_Scripted):
        def decode(self, windows: Any) -> list[Hypothesis]:
            word = HeardWord("word", 0.0, 0.1, probability)
            return [Hypothesis("word", (word,), -0.1, 0.0, "en", 1.0, "unsure", "model") for _ in windows]

    chain = EngineChain([_link(Unsure("unsure", least_confidence=0.3, far_least_confidence=0.7))])
    [heard] = chain.decode([Window(_SPEECH.waveform, "en", Mode.FINAL, far=far)])
    assert heard.text == text
