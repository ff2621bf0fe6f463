"""Settings of the stt room: STT_*."""

import os
from typing import Annotated, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from pydantic_settings import SettingsConfigDict

from kit.settings import Address, Section
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

    provider: str = "auto"
    """Speech engine: `auto`, `faster_whisper`, `demo` (our own model, 200 words), `mock`, or one a package adds."""
    model: str = "small"
    """Directory of a CTranslate2 Whisper model, a size (`tiny` to `large-v3`, `turbo`), or `owner/name` on the hub."""
    device: str = "cpu"
    """Where models run: `cpu`, `cuda`, or `auto`."""
    compute_type: str = "auto"
    """Arithmetic: `int8`, `int8_float16`, `float16`, `float32`, ...; `auto` takes int8 on a CPU, float16 on a GPU."""
    threads: NonNegativeInt = 0
    """Decodes at a time on a CPU, one thread each; 0: one per processor core. A GPU takes one at a time."""
    offline: bool = False
    """Never ask the model hub: a directory or what was downloaded before, or the room does not start."""
    beam_size: PositiveInt = 5
    """Beam of finals; interims are greedy."""

    max_streams: PositiveInt = 64
    """Streams open at a time; more are refused with RESOURCE_EXHAUSTED."""
    interim_interval_seconds: PositiveFloat = 0.5
    """Speech between two interims of an utterance; stretched up to four times when decodes have to wait."""
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
    settle_silence_seconds: PositiveFloat = 5.0
    """Silence after which it is decided."""

    mock_seconds_per_decode: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Time that the mock engine takes for each decode."""
    mock_seed: int = 0
    """Other seeds make the mock engine say other sentences."""

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
            longest_utterance_samples=samples_of(self.longest_utterance_seconds),
            settle_silence_samples=samples_of(self.settle_silence_seconds),
        )
