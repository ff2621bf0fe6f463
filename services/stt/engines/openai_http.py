"""Any transcription service with OpenAI's interface: OpenAI itself, or a server of our own that speaks it."""

import asyncio
import json
import logging
import math
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx2
import numpy as np
import stamina

from kit.clock import monotonic, now
from kit.settings import load
from kit.telemetry import logs
from services.stt.audio import SAMPLE_RATE_HERTZ
from services.stt.engines.engine import Capabilities, Hypothesis, Mode, SpeechEngine, Window
from services.stt.engines.flac import to_flac
from services.stt.engines.openai_answer import Heard, read_answer
from services.stt.errors import EngineFailed, EngineNotReady, RecognitionOff, WindowRefused
from services.stt.settings import OpenAiSettings, SttSettings

NAME = "openai_http"
KEY_MISSING = "OPENAI_API_KEY is empty: set it, or choose another STT_PROVIDER"

_BUSY = frozenset({408, 409, 425, 429})
"""Worth asking again, as every 5xx is."""
_UNWELCOME = frozenset({401, 402, 403, 404})
"""The service will have none of us: wrong key, no money, no such address."""
_TOO_LARGE = 413
_BAD_REQUEST = 400
_LONGEST_WAIT_SECONDS = 10.0
"""A service that asks for more patience has failed: an utterance does not wait that long for its text."""
_ALL_ATTEMPTS_SECONDS = 45.0
"""No new attempt is begun after this."""
_LARGEST_ANSWER_BYTES = 1024 * 1024
_MAX_FILE_BYTES = 25 * 1024 * 1024
"""The service's limit. Windows of 30 s are below 1 MB: the limit is there for engines' callers of other kinds."""
_WARM_UP_SECONDS = 1

log = logs.get()
# The library writes a line for every request.
logging.getLogger("httpx2").setLevel(logging.WARNING)


class OpenAiEngine:
    """A client of one service; `decode` may be called from several threads."""

    def __init__(self, settings: SttSettings, service: OpenAiSettings, http: httpx2.Client) -> None:
        self._http = http
        self._url = f"{service.openai_base_url.rstrip('/')}/audio/transcriptions"
        self._timeout_seconds = service.request_timeout_s
        self._attempts = settings.openai_attempts
        # Threads that belong to a quicker engine may all turn to this one at once.
        self._slots = threading.BoundedSemaphore(settings.openai_concurrency)
        self._verbose = True
        self._capabilities = Capabilities(
            engine=NAME,
            model=settings.openai_model,
            languages=None,
            word_times=True,
            punctuated=True,
            workers=settings.openai_concurrency,
            interims=settings.openai_interims,
            cost_per_minute_usd=service.whisper_rate_per_min_usd,
            remote=True,
            note="sound leaves this machine",
        )

    @property
    def capabilities(self) -> Capabilities:
        """What the service is asked for; word times if it has them."""
        return self._capabilities

    def warm_up(self) -> None:
        """Ask for a second of silence.

        Raises:
            EngineNotReady: the service refuses us: key, address or model are wrong.
            EngineFailed: it cannot be reached now.
        """
        silence = np.zeros(_WARM_UP_SECONDS * SAMPLE_RATE_HERTZ, np.float32)
        try:
            self.decode([Window(silence, None, Mode.FINAL)])
        except (_Unwelcome, WindowRefused) as error:
            raise EngineNotReady(f"STT_PROVIDER={NAME}: {error}") from error

    def decode(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """Send the windows one by one.

        Raises:
            WindowRefused: the service will not have the sound.
            EngineFailed: it does not answer, or not in its own language; carries `retry_after_seconds` if it said so.
        """
        return [self._decode(window) for window in windows]

    def _decode(self, window: Window) -> Hypothesis:
        if not len(window.waveform):
            return self._hypothesis(window, Heard())
        file = to_flac(window.waveform)
        if len(file) > _MAX_FILE_BYTES:
            raise WindowRefused(f"the service takes files of 25 MB, this is one of {len(file) // 2**20} MB")
        with self._slots:
            heard = self._ask(window, file)
        return self._hypothesis(window, heard)

    def _ask(self, window: Window, file: bytes) -> Heard:
        verbose = self._verbose
        try:
            return self._ask_patiently(window, file, verbose=verbose)
        except _BadRequest:
            if not verbose:
                raise
        # Some models give text alone; what they refuse differs, so ask for less and remember what worked.
        heard = self._ask_patiently(window, file, verbose=False)
        if self._verbose:
            self._verbose = False
            log.info("engine_without_word_times", engine=NAME, model=self._capabilities.model)
        return heard

    def _ask_patiently(self, window: Window, file: bytes, *, verbose: bool) -> Heard:
        for attempt in stamina.retry_context(
            on=_patience, attempts=self._attempts, timeout=_ALL_ATTEMPTS_SECONDS, wait_initial=0.25, wait_jitter=0.5
        ):
            with attempt:
                return read_answer(self._post(window, file, verbose=verbose))
        raise AssertionError("the last attempt returns or raises")

    def _post(self, window: Window, file: bytes, *, verbose: bool) -> object:
        """Make one request and return its JSON.

        Raises:
            EngineFailed: as `decode` has it.
        """
        fields: dict[str, str | list[str]] = {"model": self._capabilities.model, "temperature": "0"}
        if window.language:
            fields["language"] = window.language
        if window.hot_words:
            fields["prompt"] = ", ".join(window.hot_words)
        if verbose:
            fields |= {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
        else:
            fields["response_format"] = "json"
        deadline = monotonic() + self._timeout_seconds
        with (
            _explained(self._timeout_seconds),
            self._http.stream(
                "POST", self._url, data=fields, files={"file": ("speech.flac", file, "audio/flac")}
            ) as answer,
        ):
            body = _read(answer, deadline)
        if not answer.is_success:
            raise _failure(answer, body)
        try:
            return json.loads(body)
        except ValueError as error:
            raise EngineFailed(f"the answer is no JSON ({len(body)} bytes): is OPENAI_BASE_URL right?") from error

    def _hypothesis(self, window: Window, heard: Heard) -> Hypothesis:
        minutes = len(window.waveform) / SAMPLE_RATE_HERTZ / 60
        given = window.language is not None
        return Hypothesis(
            text=heard.text,
            words=heard.words,
            avg_logprob=heard.avg_logprob,
            no_speech_prob=heard.no_speech_prob,
            language=window.language or heard.language,
            language_probability=1.0 if given else heard.language_probability,
            engine=NAME,
            model=self._capabilities.model,
            cost_usd=minutes * self._capabilities.cost_per_minute_usd,
        )


class _Busy(EngineFailed):
    """The service may answer the same request later."""


class _Unwelcome(EngineFailed):
    """The service refuses us, whatever we ask."""


class _BadRequest(WindowRefused):
    """The service does not like how we ask."""


def _patience(error: Exception) -> bool | float:
    """Whether to ask again, or after how many seconds."""
    if not isinstance(error, _Busy):
        return False
    asked = error.retry_after_seconds
    return True if asked is None else asked if asked <= _LONGEST_WAIT_SECONDS else False


@contextmanager
def _explained(timeout_seconds: float) -> Iterator[None]:
    """Turn the client's exceptions into the engine's; their words may hold addresses, and stay out of ours."""
    try:
        yield
    except httpx2.TimeoutException as error:
        raise _Busy(f"the service did not answer within {timeout_seconds:g} s") from error
    except httpx2.HTTPError as error:
        raise _Busy(f"the service cannot be reached ({type(error).__name__})") from error


def _read(answer: httpx2.Response, deadline: float) -> bytes:
    """Read an answer that may come slowly, or never end."""
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > _LARGEST_ANSWER_BYTES:
            raise EngineFailed("the answer does not end: is OPENAI_BASE_URL right?")
        if monotonic() > deadline:
            raise httpx2.ReadTimeout("the answer trickles")
    return bytes(body)


def _failure(answer: httpx2.Response, body: bytes) -> EngineFailed:
    code = answer.status_code
    said = f"the service answered {code} {answer.reason_phrase}".strip() + _why(body)
    if code in _BUSY or code >= 500:
        return _Busy(said, retry_after_seconds=_retry_after(answer))
    if code in _UNWELCOME or answer.is_redirect:
        return _Unwelcome(f"{said}: OPENAI_API_KEY, OPENAI_BASE_URL or STT_OPENAI_MODEL is wrong")
    if code == _TOO_LARGE:
        return WindowRefused(f"{said}: it takes smaller files than the 25 MB that it should")
    return _BadRequest(said) if code == _BAD_REQUEST else WindowRefused(said)


def _why(body: bytes) -> str:
    """The service's own word for the error, when it is one word: a sentence might quote what was said."""
    try:
        error = json.loads(body)["error"]
        code = error.get("code") or error.get("type")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f" ({code})" if isinstance(code, str) and code.isidentifier() and len(code) <= 64 else ""


def _retry_after(answer: httpx2.Response) -> float | None:
    """Seconds that the service asks to be left alone: a number, or a date."""
    asked = answer.headers.get("retry-after", "")
    try:
        seconds = float(asked)
    except ValueError:
        try:
            moment = parsedate_to_datetime(asked)
        except ValueError:
            return None
        seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now()).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


@asynccontextmanager
async def open_engine(settings: SttSettings) -> AsyncIterator[SpeechEngine]:
    """Open a client of the service that OPENAI_BASE_URL names.

    Raises:
        RecognitionOff: there is no key.
        EngineNotReady: the service refuses us.
    """
    (service,) = load(OpenAiSettings)
    async with open_service(settings, service) as engine:
        yield engine


@asynccontextmanager
async def open_service(settings: SttSettings, service: OpenAiSettings) -> AsyncIterator[OpenAiEngine]:
    """Open a client of a service; one that is away at the moment may come later, and is asked again then.

    Raises:
        RecognitionOff: there is no key.
        EngineNotReady: the service refuses us.
    """
    key = service.openai_api_key.get_secret_value() if service.openai_api_key else ""
    if not key:
        raise RecognitionOff(KEY_MISSING)
    proxy = service.chatgpt_proxy_url
    with httpx2.Client(
        headers={"Authorization": f"Bearer {key}"},
        timeout=service.request_timeout_s,
        proxy=proxy.get_secret_value() if proxy else None,
        limits=httpx2.Limits(max_connections=settings.openai_concurrency),
        # Only what is set here counts: no proxy of the environment, and no other key out of ~/.netrc.
        trust_env=False,
        verify=ssl.create_default_context(),
    ) as http:
        engine = OpenAiEngine(settings, service, http)
        started = monotonic()
        try:
            await asyncio.to_thread(engine.warm_up)
        except EngineFailed as error:
            log.warning("engine_away", engine=NAME, why=str(error))
        else:
            log.info("engine_ready", engine=NAME, model=settings.openai_model, seconds=round(monotonic() - started, 2))
        yield engine
