"""The engine for transcription services, against a server that speaks their interface and everything it gets wrong."""

import socket
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from kit.clock import monotonic, now
from services.stt.audio import samples_of
from services.stt.engines.engine import Mode, Window
from services.stt.engines.openai_http import OpenAiEngine, open_service
from services.stt.errors import EngineFailed, EngineNotReady, RecognitionOff, WindowRefused
from services.stt.settings import OpenAiSettings, SttSettings
from tests.fakes.transcription_service import KEY, Reply, running_service, words_reply

_SILENT = Reply(body={"text": ""})
_TEXT = "We measured it twice."


def _window(seconds: float = 2.0, language: str | None = "en", **more: Any) -> Window:
    noise = np.random.default_rng(3).normal(0, 0.05, samples_of(seconds)).astype(np.float32)
    return Window(noise, language, Mode.FINAL, **more)


@asynccontextmanager
async def _engine(url: str, *, stt: dict[str, Any] | None = None, **service: Any) -> AsyncIterator[OpenAiEngine]:
    """The engine, warmed up."""
    asked: dict[str, Any] = {"openai_base_url": url, "openai_api_key": SecretStr(KEY)} | service
    async with open_service(SttSettings(**stt or {}), OpenAiSettings(**asked)) as engine:
        yield engine


def _dead_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/v1"


async def test_words_have_times_and_the_text_its_engine_and_price():
    with running_service(_SILENT, words_reply(_TEXT)) as service:
        async with _engine(service.url, stt={"openai_model": "whisper-large"}) as engine:
            [heard] = engine.decode([_window(language=None, hot_words=("kafka", "redis"))])
    assert heard.text == _TEXT
    assert [(word.text, round(word.start_seconds, 2)) for word in heard.words] == [
        ("We", 0.0), ("measured", 0.33), ("it", 0.67), ("twice.", 1.0)
    ]  # fmt: skip
    assert heard.confidence == pytest.approx(np.exp(-0.1))
    assert (heard.engine, heard.model, heard.language) == ("openai_http", "whisper-large", "en")
    assert heard.language_probability == 0.0, "the service does not say how sure it is, so nothing is pinned"
    assert heard.cost_usd == pytest.approx(2 / 60 * 0.006)
    request = service.asked[-1]
    assert request.audio_seconds == pytest.approx(2.0)
    assert request.file_name == "speech.flac"
    assert request.fields == {
        "model": ["whisper-large"],
        "temperature": ["0"],
        "prompt": ["kafka, redis"],
        "response_format": ["verbose_json"],
        "timestamp_granularities[]": ["word", "segment"],
    }


async def test_a_given_language_is_passed_on():
    with running_service(words_reply("Да.", language="russian")) as service:
        async with _engine(service.url) as engine:
            [heard] = engine.decode([_window(language="ru")])
    assert service.asked[-1].fields["language"] == ["ru"]
    assert (heard.language, heard.language_probability) == ("ru", 1.0)


async def test_a_model_without_words_is_asked_for_text_alone_from_then_on():
    refusal = Reply(400, {"error": {"message": "response_format 'verbose_json' is not compatible", "code": None}})
    with running_service(refusal, _SILENT, Reply(body={"text": _TEXT})) as service:
        async with _engine(service.url) as engine:
            heard = engine.decode([_window(), _window()])
    assert [(one.text, one.words, one.confidence) for one in heard] == 2 * [(_TEXT, (), 0.0)]
    formats = [request.fields["response_format"] for request in service.asked]
    assert formats == [["verbose_json"], ["json"], ["json"], ["json"]]


async def test_a_server_that_ignores_the_word_granularity_gives_text():
    with running_service(_SILENT, Reply(body={"text": _TEXT, "words": None, "segments": None})) as service:
        async with _engine(service.url) as engine:
            [heard] = engine.decode([_window()])
    assert (heard.text, heard.words) == (_TEXT, ())


async def test_what_a_model_invents_for_silence_is_left_out():
    def segment(text: str, start: float, **more: float) -> dict[str, Any]:
        return {"text": text, "start": start, "end": start + 1, "avg_logprob": -0.2, "no_speech_prob": 0.1} | more

    answer = {
        "text": "Yes. Thanks for watching! no no no no",
        "segments": [
            segment(" Yes.", 0.0),
            segment(" Thanks for watching!", 1.0, avg_logprob=-1.5, no_speech_prob=0.9),
            segment(" no no no no", 2.0, compression_ratio=3.0),
        ],
        "words": [{"word": "Yes.", "start": 0.1, "end": 0.5}, {"word": "Thanks", "start": 1.1, "end": 1.4}],
    }
    with running_service(Reply(body=answer)) as service:
        async with _engine(service.url) as engine:
            [heard] = engine.decode([_window()])
    assert (heard.text, [word.text for word in heard.words]) == ("Yes.", ["Yes."])


async def test_a_busy_service_is_asked_again_when_it_says():
    busy = Reply(429, {"error": {"code": "rate_limit_exceeded"}}, {"Retry-After": "1"})
    with running_service(_SILENT, busy, words_reply(_TEXT)) as service:
        async with _engine(service.url) as engine:
            started = monotonic()
            [heard] = engine.decode([_window()])
    assert heard.text == _TEXT
    assert 1.0 <= monotonic() - started < 5.0
    assert len(service.asked) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_service_that_wants_a_long_rest_gets_it_at_once(form: str):
    wish = "120" if form == "seconds" else format_datetime(now() + timedelta(seconds=121), usegmt=True)
    with running_service(_SILENT, Reply(429, b"", {"Retry-After": wish})) as service:
        async with _engine(service.url) as engine:
            with pytest.raises(EngineFailed, match="429") as caught:
                engine.decode([_window()])
    assert caught.value.retry_after_seconds == pytest.approx(120, abs=2)
    assert len(service.asked) == 2, "it was not asked again"


async def test_a_service_that_breaks_down_is_asked_a_few_times():
    with running_service(_SILENT, Reply(500, b"oops"), Reply(503, b""), words_reply(_TEXT)) as service:
        async with _engine(service.url) as engine:
            assert engine.decode([_window()])[0].text == _TEXT
            service.script[:] = [Reply(500, b"oops")]
            with pytest.raises(EngineFailed, match="the service answered 500"):
                engine.decode([_window()])
    assert len(service.asked) == 1 + 3 + 3


@pytest.mark.parametrize(
    "slow", [Reply(after_seconds=0.6, body={"text": ""}), Reply(body=b" " * 400, bytes_per_second=200)]
)
async def test_a_slow_service_is_given_up(slow: Reply):
    with running_service(_SILENT, slow) as service:
        async with _engine(service.url, request_timeout_s=0.3, stt={"openai_attempts": 1}) as engine:
            started = time.monotonic()
            with pytest.raises(EngineFailed, match=r"did not answer within 0\.3 s"):
                engine.decode([_window()])
            assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(body=b"<html>Welcome</html>"), "no JSON"),
        (Reply(body={"transcript": "the wrong interface"}), r"not a transcription \(text is wrong\)"),
        (Reply(body=[]), r"not a transcription \(the whole is wrong\)"),
        (Reply(body={"text": "x", "words": [{"word": "x"}]}), r"words\.0\.end, words\.0\.start is wrong"),
        (Reply(body=b"x" * (2 * 1024 * 1024)), "does not end"),
    ],
)
async def test_an_answer_of_another_kind_is_explained_without_quoting_it(reply: Reply, sentence: str):
    with running_service(_SILENT, reply) as service:
        async with _engine(service.url) as engine:
            with pytest.raises(EngineFailed, match=sentence) as caught:
                engine.decode([_window()])
    assert "OPENAI_BASE_URL" in str(caught.value)
    assert "Welcome" not in str(caught.value)
    assert len(service.asked) == 2, "the same question would get the same answer"


async def test_a_window_that_is_too_large_for_the_service_is_refused_and_not_sent_again():
    with running_service(_SILENT, Reply(413, b"")) as service:
        async with _engine(service.url) as engine:
            with pytest.raises(WindowRefused, match="413"):
                engine.decode([_window(28.0)])
    assert len(service.asked) == 2


async def test_the_longest_window_is_far_below_the_services_limit():
    with running_service(_SILENT) as service:
        async with _engine(service.url) as engine:
            engine.decode(
                [Window(np.random.default_rng(1).uniform(-1, 1, samples_of(30.0)).astype(np.float32), "en", Mode.FINAL)]
            )
            with pytest.raises(WindowRefused, match="25 MB"):
                engine.decode(
                    [
                        Window(
                            np.random.default_rng(1).uniform(-1, 1, samples_of(860.0)).astype(np.float32),
                            "en",
                            Mode.FINAL,
                        )
                    ]
                )
    assert [round(request.audio_seconds) for request in service.asked] == [1, 30]


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (
            401,
            {"error": {"code": "invalid_api_key", "message": "you sent sk-12345"}},
            "401 Unauthorized .invalid_api_key.",
        ),
        (404, b"", "STT_OPENAI_MODEL is wrong"),
        (302, b"", "OPENAI_BASE_URL or"),
        (422, b"", "422"),
    ],
)
async def test_a_service_that_will_have_none_of_us_ends_the_start(status: int, body: Any, sentence: str):
    reply = Reply(status, body, {"Location": "/elsewhere"})
    with running_service(reply) as service, pytest.raises(EngineNotReady, match=sentence) as caught:
        async with _engine(service.url):
            pass
    assert "sk-12345" not in str(caught.value)


async def test_a_service_that_is_away_at_the_start_may_come_later():
    async with _engine(_dead_url(), stt={"openai_attempts": 1}) as engine:
        with pytest.raises(EngineFailed, match="cannot be reached"):
            engine.decode([_window()])


async def test_without_a_key_there_is_no_engine():
    with pytest.raises(RecognitionOff, match="OPENAI_API_KEY is empty"):
        async with _engine("http://127.0.0.1:9/v1", openai_api_key=None):
            pass


async def test_requests_go_through_the_proxy():
    with running_service(words_reply(_TEXT)) as proxy:
        address = proxy.url.removesuffix("/v1")
        async with _engine("http://service.invalid/v1", chatgpt_proxy_url=SecretStr(address)) as engine:
            assert engine.decode([_window()])[0].text == _TEXT
    assert {request.path for request in proxy.asked} == {"http://service.invalid/v1/audio/transcriptions"}


async def test_the_environments_proxy_does_not_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", _dead_url())
    with running_service(words_reply(_TEXT)) as service:
        async with _engine(service.url) as engine:
            assert engine.decode([_window()])[0].text == _TEXT


async def test_no_more_requests_at_a_time_than_agreed():
    with running_service(_SILENT, Reply(after_seconds=0.05, body={"text": "x"})) as service:
        async with _engine(service.url, stt={"openai_concurrency": 2}) as engine:
            with ThreadPoolExecutor(8) as threads:
                heard = list(threads.map(lambda _: engine.decode([_window(0.5)])[0].text, range(8)))
    assert heard == 8 * ["x"]
    assert service.most_at_a_time == 2
