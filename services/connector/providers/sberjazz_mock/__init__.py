"""SberJazz's stand-in: a real server of the same contract, for rehearsals; the provider starts one for each call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from kit.settings import CommaList, CoreSettings, Section, load
from services.connector.provider import (
    CallRefused,
    ChunkSink,
    JoinSpec,
    ProviderKind,
    SourceListener,
    Surroundings,
)
from services.connector.providers.sberjazz import CAPABILITIES, SberJazzProvider
from services.connector.providers.sberjazz_http import Connecting
from services.connector.providers.sberjazz_mock.faults import read_fault
from services.connector.providers.sberjazz_mock.server import DEFAULT_TOKEN, open_mock
from services.connector.providers.sberjazz_mock.voices import SampleUnreadable, read_voices
from services.connector.providers.sberjazz_source import SberJazzSource


class SberJazzMockSettings(Section):
    """SberJazz's stand-in, for rehearsals."""

    model_config = SettingsConfigDict(env_prefix="SBERJAZZ_MOCK_")

    base: str = ""
    """Address of a stand-in that runs already; empty starts one in the connector for each call."""
    token: SecretStr = SecretStr(DEFAULT_TOKEN)
    """Token of that stand-in."""
    samples: CommaList = ()
    """Who speaks, as `NAME=FILE` between commas; empty lets two made up voices take turns."""
    chunk_ms: Annotated[int, Field(ge=100, le=60_000)] = 1000
    """Length of a chunk, in milliseconds."""
    faults: CommaList = ()
    """What goes wrong in each call, as `FAULT:TIMES:OPERATION` between commas, for example `429:3:live-pull`."""

    @field_validator("faults")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            read_fault(part)
        return value


class SberJazzMockProvider:
    """Joins calls of the stand-in with SberJazz's own client; see `PullProvider`."""

    def __init__(self, settings: SberJazzMockSettings, surroundings: Surroundings) -> None:
        self._settings = settings
        self._surroundings = surroundings

    def base(self, spec: JoinSpec) -> str:
        """Return one address for every call: each stand-in has its own, and all of them are one provider."""
        return self._settings.base or "http://sberjazz-mock"

    async def probe(self) -> None:
        """Ask a stand-in whether it is well; see `Provider.probe`."""
        async with self._running() as provider:
            await provider.probe()

    @asynccontextmanager
    async def open_pull(
        self, spec: JoinSpec, chunks: ChunkSink, listener: SourceListener, *, rejoin: bool
    ) -> AsyncIterator[SberJazzSource]:
        """Be in a call of the stand-in for the block; see `SberJazzProvider.open_pull`."""
        async with self._running() as provider, provider.open_pull(spec, chunks, listener, rejoin=rejoin) as source:
            yield source

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[SberJazzProvider]:
        settings = self._settings
        token = settings.token.get_secret_value()
        if settings.base:
            yield SberJazzProvider(Connecting(settings.base.rstrip("/"), token), self._surroundings)
            return
        try:
            voices = read_voices(settings.samples)
        except SampleUnreadable as error:
            raise CallRefused(f"SBERJAZZ_MOCK_SAMPLES: {error}") from error
        faults = [read_fault(part) for part in settings.faults]
        async with open_mock(voices, token=token, chunk_seconds=settings.chunk_ms / 1000, faults=faults) as (_, url):
            yield SberJazzProvider(Connecting(url, token, backoff_seconds=0.1), self._surroundings)


def what_to_set(settings: SberJazzMockSettings) -> str:
    """Return what must be set before the stand-in can be used; empty if it can."""
    (core,) = load(CoreSettings)
    return "a stand-in is not for APP_ENV=prod: use MEETING_CONNECTOR_PROVIDER=sberjazz" if core.is_prod else ""


KIND = ProviderKind(
    name="sberjazz_mock",
    summary="made up calls over the contract of SberJazz, for rehearsals",
    address_form="https://host/CALL, or empty",
    capabilities=CAPABILITIES,
    make=SberJazzMockProvider,
    settings=SberJazzMockSettings,
    off=what_to_set,
)
