"""SberJazz over HTTP: the provider keeps each participant's audio in chunks, which the recorder fetches and stores."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from kit.errors import Unavailable
from kit.settings import CommaList, CoreSettings, Section, load
from kit.telemetry import logs
from services.connector.provider import (
    CallRefused,
    Capabilities,
    ChunkSink,
    JoinSpec,
    ProviderKind,
    SourceListener,
    SourceLost,
    Surroundings,
)
from services.connector.providers.sberjazz_contract import CallState, JoinBody
from services.connector.providers.sberjazz_http import AnswerInvalid, Connecting, SberJazzClient, open_client
from services.connector.providers.sberjazz_source import SberJazzSource, place_after, read_place

_LEAVE_SECONDS = 10.0
_LAST_PULLS_SECONDS = 20.0
_LAST_PULL_CHUNKS = 100
_MOST_URL_CHARACTERS = 2048

log = logs.get()


class SberJazzSettings(Section):
    """SberJazz: how its interface is reached."""

    model_config = SettingsConfigDict(env_prefix="SBERJAZZ_")

    api_base: str = ""
    """Address of the interface, for example `https://jazz.example.ru/api`; empty switches the provider off."""
    api_token: SecretStr | None = None
    """Token that is sent as `Authorization: Bearer`."""
    http_timeout_sec: PositiveFloat = 15.0
    """Time for one answer, in seconds."""
    http_retries: Annotated[int, Field(ge=0, le=10)] = 3
    """Tries after the first for what may pass; wrong credentials and requests are never repeated."""
    http_retry_backoff_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    """Pause before the first of these tries, in milliseconds; each next one is twice as long, up to 8 s."""
    http_retry_statuses: CommaList = ("408", "425", "429", "500", "502", "503", "504")
    """HTTP statuses that are worth these tries."""
    force_ipv4: bool = False
    """Whether to connect over IPv4 only, where IPv6 is announced and does not work."""
    require_https_in_prod: bool = True
    """Whether SBERJAZZ_API_BASE must be https:// when APP_ENV=prod."""
    startup_probe_enabled: bool = True
    """Whether the connector asks SberJazz at its start, when APP_ENV=prod and it is the default provider."""
    startup_probe_fail_fast_in_prod: bool = True
    """Whether a failed probe at the start ends the process when APP_ENV=prod."""

    @field_validator("api_base")
    @classmethod
    def _address(cls, value: str) -> str:
        value = value.strip().rstrip("/")
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
            raise ValueError("must be an address that begins with https:// and has no query")
        return value

    @field_validator("http_retry_statuses")
    @classmethod
    def _statuses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(part.isascii() and part.isdigit() and 400 <= int(part) <= 599 for part in value):
            raise ValueError("must be HTTP statuses from 400 to 599 between commas")
        return value

    @model_validator(mode="after")
    def _no_credentials_in_address(self) -> Self:
        if "@" in urlsplit(self.api_base).netloc:
            raise ValueError("SBERJAZZ_API_BASE: holds credentials; they belong into SBERJAZZ_API_TOKEN")
        return self

    @property
    def connecting(self) -> Connecting:
        """How the client connects."""
        return Connecting(
            base=self.api_base,
            token=self.api_token.get_secret_value() if self.api_token else "",
            timeout_seconds=self.http_timeout_sec,
            retries=self.http_retries,
            backoff_seconds=self.http_retry_backoff_ms / 1000,
            retry_statuses=frozenset(map(int, self.http_retry_statuses)),
            force_ipv4=self.force_ipv4,
        )


class SberJazzProvider:
    """Joins calls by the contract; see `PullProvider`."""

    def __init__(self, connecting: Connecting, surroundings: Surroundings) -> None:
        self._connecting = connecting
        self._surroundings = surroundings

    def base(self, spec: JoinSpec) -> str:
        """Return the interface's address: when it fails, it fails for every call."""
        return self._connecting.base

    async def probe(self) -> None:
        """Ask the interface whether it is well; see `Provider.probe`."""
        async with open_client(self._connecting, self._trust) as client:
            health = await client.health()
        if health.status != "ok":
            raise AnswerInvalid("SberJazz says that it is not well")

    @asynccontextmanager
    async def open_pull(
        self, spec: JoinSpec, chunks: ChunkSink, listener: SourceListener, *, rejoin: bool
    ) -> AsyncIterator[SberJazzSource]:
        """Be in the call for the block; see `PullProvider.open_pull`.

        A join is the same request again, so a rejoin differs in nothing. A block that is cancelled leaves the
        recorder in the call; any other end takes it out, and an orderly one also fetches what was said to the last.
        """
        body = JoinBody(
            call_url=call_url(spec.meeting_url),
            recorder_name=self._surroundings.recorder_name,
            notice=self._surroundings.notice,
            language=spec.language,
        )
        async with open_client(self._connecting, self._trust) as client:
            joined = await client.join(spec.meeting_id, body)
            if joined.state is CallState.ENDED:
                raise CallRefused("the call is over")
            before = read_place(spec.cursor)
            source_at = partial(
                SberJazzSource,
                client,
                spec.meeting_id,
                chunks=chunks,
                listener=listener,
                notice_posted=joined.notice_posted,
                withdrawn=spec.withdrawn,
            )
            source = source_at(place_after(joined, before))
            log.info("sberjazz_joined", connection_id=joined.connection_id, rejoin=rejoin)
            if before is not None and before.connection_id != joined.connection_id:
                await _pull_dry(source_at(before))
            listener.entered()
            listener.live()
            try:
                yield source
            except asyncio.CancelledError:
                raise
            except BaseException:
                await _leave(client, spec.meeting_id)
                raise
            await _leave(client, spec.meeting_id)
            await _pull_dry(source)

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context()


async def _leave(client: SberJazzClient, meeting_id: str) -> None:
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            await client.leave(meeting_id, "the recording has ended")
    except (SourceLost, TimeoutError) as error:
        log.warning("sberjazz_not_left", reason=str(error))


async def _pull_dry(source: SberJazzSource) -> None:
    """Fetch what is left of a stay that has ended."""
    try:
        async with asyncio.timeout(_LAST_PULLS_SECONDS):
            while (await source.pull(_LAST_PULL_CHUNKS)).fetched:
                pass
    except (SourceLost, Unavailable, TimeoutError) as error:
        log.warning("sberjazz_last_chunks_not_stored", reason=str(error))


def call_url(url: str) -> str:
    """Return a call's link as SberJazz gets it; empty for the call that it knows by the meeting's id.

    Raises:
        CallRefused: it is no link.
    """
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.path.strip("/")
    except ValueError:
        usable = False
    if not usable or len(url) > _MOST_URL_CHARACTERS:
        raise CallRefused("the meeting's address is not a SberJazz link: it has the form https://host/CALL")
    return url


def what_to_set(settings: SberJazzSettings) -> str:
    """Return what must be set before SberJazz can be used; empty if it can."""
    if not settings.api_base or settings.api_token is None:
        return "set SBERJAZZ_API_BASE and SBERJAZZ_API_TOKEN"
    (core,) = load(CoreSettings)
    if core.is_prod and settings.require_https_in_prod and not settings.api_base.startswith("https://"):
        return "SBERJAZZ_API_BASE must begin with https:// when APP_ENV=prod"
    return ""


CAPABILITIES = Capabilities(own_tracks=True, mute_signals=True, pull=True, chat=True)

KIND = ProviderKind(
    name="sberjazz",
    summary="SberJazz calls, fetched in chunks over HTTP",
    address_form="https://host/CALL, or empty for the call that SberJazz knows by the meeting's id",
    capabilities=CAPABILITIES,
    make=lambda settings, surroundings: SberJazzProvider(settings.connecting, surroundings),
    settings=SberJazzSettings,
    off=what_to_set,
)
