"""Settings of the stt room: STT_*, and those of a transcription service: OPENAI_* and what belongs to it."""

import os
from typing import Annotated, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from kit.settings import Address, CommaList, Section
from services.stt.audio import samples_of
from services.stt.endpointing import EndpointingRules

Probability = Annotated[float, Field(gt=0, lt=1)]


class SttSettings(Section):
    """Speech recognition."""

    model_config = SettingsConfigDict(env_prefix="STT_")

    listen: Address = "127.0.0.1:8022"
    """gRPC address of the room."""
    metrics_listen: Address = "127.0.0.1:9022"
    """Address of the Prometheus page."""

    provider: CommaList = ("auto",)
    """Speech engines, the first choice first: `auto`, `faster_whisper`, `openai_http`, `pocketsphinx`, or one a package
    adds; what one fails the next one decodes. `demo` (our own model, 200 words) and `mock` stand alone."""
    model: str = "small"
    """Directory of a CTranslate2 Whisper model, a size (`tiny` to `large-v3`, `turbo`), or `owner/name` on the hub."""
    device: str = "cpu"
    """Where models run: `cpu`, `cuda`, or `auto`."""
    compute_type: str = "auto"
    """Arithmetic: `int8`, `int8_float16`, `float16`, `float32`, ...; `auto` takes int8 on a CPU, float16 on a GPU."""
    threads: NonNegativeInt = 0
    """Decodes at a time on a CPU, one thread each; 0: one per processor core. A GPU takes one at a time."""
    batch: NonNegativeInt = 0
    """Utterances of different calls in one decode; 0: 16 on a GPU, 1 on a CPU, where a batch gains nothing."""
    offline: bool = False
    """Never ask the model hub: a directory or what was downloaded before, or the room does not start."""
    beam_size: PositiveInt = 5
    """Beam of finals; interims are greedy."""

    breaker_failures: PositiveInt = 3
    """Failures in a row after which an engine rests and the next one is asked at once."""
    breaker_rest_seconds: PositiveFloat = 30.0
    """Rest of an engine; after it one utterance tries whether it is well again."""

    max_file_minutes: NonNegativeInt = 240
    """Longest recording that is taken; 0: recordings are not recognised, live calls are."""
    max_streams: PositiveInt = 256
    """Streams open at a time, about 1 MB each; more are refused with RESOURCE_EXHAUSTED, and so are live ones that the
    workers could not carry."""
    interim_interval_seconds: PositiveFloat = 0.4
    """Speech between two interims of an utterance; stretched up to five times when the workers are busy."""
    heartbeat_seconds: PositiveFloat = 5.0
    """Longest time without a message to the client."""

    start_probability: Probability = 0.5
    """Speech probability of a 32 ms window that starts an utterance."""
    keep_probability: Probability = 0.35
    """Speech probability that keeps it open."""
    pre_roll_seconds: PositiveFloat = 0.25
    """Sound before the first window of speech that belongs to the utterance."""
    end_silence_seconds: PositiveFloat = 0.55
    """Silence that ends an utterance."""
    post_roll_seconds: PositiveFloat = 0.3
    """Sound after the last window of speech that the engine still hears."""
    longest_utterance_seconds: Annotated[float, Field(ge=2, le=29)] = 25.0
    """An utterance is cut at its quietest late window when it gets longer; engines hear 30 s at most."""
    shortest_speech_seconds: PositiveFloat = 0.3
    """Less speech than this is not decoded: models invent words for it."""
    sure_probability: Probability = 0.75
    """Mean speech probability of what keeps an utterance open; below it nothing is decoded: it was music, or hum."""
    least_confidence: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """A final of a Whisper model whose words are on average less probable is left out as invention; 0: none is."""
    far_least_confidence: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The same for a voice that sounds as from across a room: with echo, in noise, or very faint; counts where it is
    above STT_LEAST_CONFIDENCE. 0.7 leaves out half of what our own model mishears there (`docs/engines.md`)."""
    settle_silence_seconds: PositiveFloat = 5.0
    """Silence after which it is decided."""

    openai_model: str = "whisper-1"
    """Model asked for at the transcription service."""
    openai_concurrency: PositiveInt = 4
    """Requests to the service at a time."""
    openai_attempts: PositiveInt = 3
    """Requests for one utterance, when the service is busy or breaks down."""
    openai_interims: bool = False
    """Ask the service for interim text too: every half second of speech is then billed many times over."""

    mock_seconds_per_decode: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Time that the mock engine takes for each decode."""
    mock_seed: int = 0
    """Other seeds make the mock engine say other sentences."""

    @model_validator(mode="after")
    def _some_provider(self) -> Self:
        twice = {name for name in self.provider if self.provider.count(name) > 1}
        if twice or not self.provider:
            raise ValueError(f"STT_PROVIDER: {'names ' + ', '.join(sorted(twice)) + ' twice' if twice else 'is empty'}")
        return self

    @model_validator(mode="after")
    def _consistent_endpointing(self) -> Self:
        if self.post_roll_seconds > self.end_silence_seconds:
            raise ValueError("STT_POST_ROLL_SECONDS: must not be above STT_END_SILENCE_SECONDS")
        if self.keep_probability > self.start_probability:
            raise ValueError("STT_KEEP_PROBABILITY: must not be above STT_START_PROBABILITY")
        if self.settle_silence_seconds <= 2 * self.pre_roll_seconds:
            raise ValueError("STT_SETTLE_SILENCE_SECONDS: must be above twice STT_PRE_ROLL_SECONDS")
        return self

    @property
    def workers(self) -> int:
        """Decodes at a time on a CPU."""
        return self.threads or os.cpu_count() or 1

    @property
    def endpointing(self) -> EndpointingRules:
        """The endpointing rules in samples."""
        return EndpointingRules(
            start_probability=self.start_probability,
            keep_probability=self.keep_probability,
            pre_roll_samples=samples_of(self.pre_roll_seconds),
            end_silence_samples=samples_of(self.end_silence_seconds),
            post_roll_samples=samples_of(self.post_roll_seconds),
            shortest_speech_samples=samples_of(self.shortest_speech_seconds),
            sure_probability=self.sure_probability,
            longest_utterance_samples=samples_of(self.longest_utterance_seconds),
            settle_silence_samples=samples_of(self.settle_silence_seconds),
        )


class OpenAiSettings(Section):
    """A transcription service with OpenAI's interface (`STT_PROVIDER=openai_http`)."""

    openai_base_url: str = "https://api.openai.com/v1"
    """Address of the service; `/audio/transcriptions` is added to it."""
    openai_api_key: SecretStr | None = None
    """Key of the service; without one `openai_http` is switched off. Any word does for a service that asks for none."""
    chatgpt_proxy_url: SecretStr | None = None
    """HTTP proxy to the service, `http://user:password@host:port`; unset: none, whatever HTTPS_PROXY says."""
    whisper_rate_per_min_usd: NonNegativeFloat = 0.006
    """Price of a minute of sound."""
    request_timeout_s: PositiveFloat = 30.0
    """Longest time of one request."""

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        if not self.openai_base_url.startswith(("http://", "https://")):
            raise ValueError("OPENAI_BASE_URL: must start with http:// or https://")
        proxy = self.chatgpt_proxy_url
        if proxy is not None and not proxy.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("CHATGPT_PROXY_URL: must start with http:// or https://")
        return self
