"""WHEP: the recorder subscribes to a stream that a server gives out over WebRTC."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Self
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit

import httpx2
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from kit.clock import monotonic
from kit.settings import CommaList, Section
from kit.telemetry import logs
from services.connector.clock import SessionClock
from services.connector.provider import (
    Basis,
    CallRefused,
    Capabilities,
    Heard,
    JoinSpec,
    ProviderAway,
    ProviderKind,
    SourceListener,
    SourceLost,
    Surroundings,
    TrackWriter,
    address_parts,
)
from services.connector.receive.receiver import OpusPacket
from services.connector.receive.voices import Voices
from services.connector.webrtc.offer import AnswerUnusable, open_offered
from services.connector.webrtc.sdp import AudioLine

JOIN_SECONDS = 15.0
_HTTP_SECONDS = 10.0
_PROBE_SECONDS = 5.0
_DELETE_SECONDS = 2.0
_BACKOFF_SECONDS = (0.5, 10.0)
_REDIRECTS = 3
_MOST_ANSWER_BYTES = 256 * 1024
_ANY = "*"
_SDP = "application/sdp"

log = logs.get()


class WhepSettings(Section):
    """Subscribing to streams over WHEP."""

    model_config = SettingsConfigDict(env_prefix="WHEP_")

    hosts: CommaList = ()
    """Servers that may be subscribed to, as `host` or `host:port`, between commas; `*` for any; empty: off."""
    token: SecretStr | None = None
    """Bearer token for WHEP_TOKEN_HOST."""
    token_host: str = ""
    """The only server that is shown the token, as `host` or `host:port`."""
    audio_lines: Annotated[int, Field(ge=1, le=16)] = 1
    """Audio tracks to ask for; a server that has fewer answers with those."""

    @model_validator(mode="after")
    def _token_has_a_host(self) -> Self:
        if self.token and not self.token_host:
            raise ValueError("WHEP_TOKEN needs WHEP_TOKEN_HOST, the server that it is for")
        return self


@dataclass(frozen=True, slots=True)
class WhepAddress:
    """A stream: its endpoint, and the names of its speakers in the order of their tracks, as far as given."""

    url: str
    names: tuple[str, ...] = ()


class WhepProvider:
    """Subscribes to streams; see `Provider`."""

    def __init__(self, settings: WhepSettings, surroundings: Surroundings) -> None:
        self._settings = settings
        self._surroundings = surroundings

    def base(self, spec: JoinSpec) -> str:
        """Return scheme and host of the endpoint."""
        parts = address_parts(spec.meeting_url)
        return f"{parts.scheme}://{parts.netloc}"

    async def probe(self) -> None:
        """Ask every server that is named whether it accepts connections."""
        for host in self._settings.hosts:
            if host != _ANY:
                await _reach(host)

    @asynccontextmanager
    async def open_source(
        self, spec: JoinSpec, clock: SessionClock, tracks: TrackWriter, listener: SourceListener
    ) -> AsyncIterator["WhepSource"]:
        """Be subscribed for the block."""
        address = whep_address(spec.meeting_url, self._settings)
        async with asyncio.TaskGroup() as tasks:
            voices = Voices(clock, tracks, listener, self._surroundings.patience, spec.withdrawn)
            source = WhepSource(address, self._settings, self._surroundings, voices)
            running = [
                tasks.create_task(source.stay(), name="connector.whep.stay"),
                tasks.create_task(voices.tick(), name="connector.whep.tick"),
            ]
            try:
                yield source
            finally:
                for task in running:
                    task.cancel()


class WhepSource:
    """The recorder at one stream; see `Source` and `WhepProvider.open_source`."""

    def __init__(
        self, address: WhepAddress, settings: WhepSettings, surroundings: Surroundings, voices: Voices
    ) -> None:
        self._address = address
        self._settings = settings
        self._surroundings = surroundings
        self._voices = voices
        self._heard: dict[str, str] = {}
        self._inside = False

    @property
    def participants(self) -> Sequence[Heard]:
        """Whose tracks the stream has."""
        return self._voices.participants

    async def over(self) -> str:
        """Wait until the stream is lost."""
        return await self._voices.over()

    def withdraw(self, participant_id: str) -> bool:
        """Stop recording a participant from this moment on."""
        return self._voices.withdraw(participant_id)

    def finish(self) -> int:
        """Close every track at one common sample; nothing is written after this."""
        return self._voices.finish()

    def abandon(self) -> None:
        """Write nothing more and leave every track open."""
        self._voices.abandon()

    async def stay(self) -> None:
        """Be subscribed; subscribe again, on the same timeline, when media dies."""
        shortest, longest = _BACKOFF_SECONDS
        lost_at, delay = monotonic(), shortest
        async with httpx2.AsyncClient(timeout=_HTTP_SECONDS, trust_env=False) as http:
            while True:
                self._inside = False
                lost = await self._subscribe(http)
                if self._inside:
                    lost_at, delay = monotonic(), shortest
                if isinstance(lost, CallRefused) and not self._voices.entered:
                    self._voices.lose(lost)
                    return
                patience = self._surroundings.patience.rejoin if self._voices.entered else JOIN_SECONDS
                if monotonic() - lost_at > patience:
                    self._end(lost)
                    return
                self._voices.away(str(lost))
                await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - jitter, not a secret
                delay = min(longest, delay * 2)

    def _end(self, lost: SourceLost) -> None:
        """A stream that its server no longer has is over; one that cannot be reached is lost."""
        if isinstance(lost, CallRefused) and self._voices.entered:
            self._voices.end("the stream has ended")
        else:
            self._voices.lose(lost)

    async def _subscribe(self, http: httpx2.AsyncClient) -> SourceLost:
        """Subscribe once and receive; returns why that ended."""
        opening = open_offered(
            self._settings.audio_lines, self._surroundings.ice, on_packet=self._receive, on_state=self._state_changed
        )
        resource = ""
        try:
            async with opening as offered:
                resource, answer = await self._exchange(http, offered.sdp)
                self._admit(await offered.accept(answer))
                return ProviderAway(await offered.over())
        except AnswerUnusable as error:
            return CallRefused(str(error))
        except SourceLost as error:
            return error
        finally:
            if resource:
                await self._delete(http, resource)

    async def _exchange(self, http: httpx2.AsyncClient, offer_sdp: str) -> tuple[str, str]:
        """Post the offer; returns the address of what was made, empty if the server names none, and the answer."""
        url = self._address.url
        for _ in range(_REDIRECTS + 1):
            headers = {"content-type": _SDP, "accept": _SDP, **self._proof(url)}
            try:
                async with (
                    asyncio.timeout(_HTTP_SECONDS),
                    http.stream("POST", url, content=offer_sdp, headers=headers) as response,
                ):
                    if response.status_code in (307, 308):
                        url = _followed(url, response.headers.get("location", ""), self._settings)
                        continue
                    body = await _read(response)
            except (httpx2.HTTPError, TimeoutError) as error:
                raise ProviderAway(f"the server cannot be reached ({type(error).__name__})") from error
            if response.status_code in (408, 425, 429) or response.status_code >= 500:
                raise ProviderAway(f"the server answered with status {response.status_code}")
            if response.status_code not in (200, 201) or not body:
                raise CallRefused(f"the server refused the subscription with status {response.status_code}")
            return _joined(url, response.headers.get("location", "")), body
        raise CallRefused("the server redirects too often")

    async def _delete(self, http: httpx2.AsyncClient, resource: str) -> None:
        """Tell the server that nobody listens any more."""
        here, there = urlsplit(self._address.url), urlsplit(resource)
        if there.scheme not in ("http", "https") or not (
            there.netloc == here.netloc or _allowed(resource, self._settings)
        ):
            return
        try:
            async with asyncio.timeout(_DELETE_SECONDS):
                await http.delete(resource, headers=self._proof(resource))
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError):
            log.info("whep_gone_before_leaving")

    def _proof(self, url: str) -> dict[str, str]:
        parts = urlsplit(url)
        if self._settings.token is None or self._settings.token_host not in (parts.netloc, parts.hostname):
            return {}
        return {"authorization": f"Bearer {self._settings.token.get_secret_value()}"}

    def _admit(self, lines: Sequence[AudioLine]) -> None:
        """Give every track its participant, the same as before by its place; a track that is gone has left."""
        self._heard = {line.mid: f"track-{place}" for place, line in enumerate(lines, 1)}
        for gone in [heard.participant_id for heard in self._voices.participants]:
            if gone not in self._heard.values():
                self._voices.dismiss(gone)
        for place, line in enumerate(lines):
            given = self._address.names[place] if place < len(self._address.names) else ""
            name = given or name_in(line.stream)
            basis = Basis.OWN_TRACK if given else Basis.ROSTER
            self._voices.admit(self._heard[line.mid], name, basis)

    def _state_changed(self, state: str) -> None:
        if state == "connected":
            self._inside = True
            self._voices.enter()
            self._voices.start()

    def _receive(self, mid: str, packet: OpusPacket) -> None:
        voice = self._heard.get(mid)
        if voice is not None:
            self._voices.receive(voice, packet)


def whep_address(meeting_url: str, settings: WhepSettings) -> WhepAddress:
    """Find the endpoint that a meeting's address names; each `name` in its query is that of a track's speaker.

    Raises:
        CallRefused: it is not an address, or its server may not be subscribed to.
    """
    parts = address_parts(meeting_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CallRefused("the meeting's address is not that of a stream: it has the form https://host/path")
    if not _allowed(meeting_url, settings):
        raise CallRefused("the meeting's server is not one of WHEP_HOSTS")
    query = parse_qsl(parts.query, keep_blank_values=True)
    names = tuple(value.strip()[:64] for key, value in query if key == "name")
    rest = urlencode([(key, value) for key, value in query if key != "name"])
    return WhepAddress(parts._replace(query=rest, fragment="").geturl(), names)


def name_in(stream: str) -> str:
    """Return the name that a stream's identifier is, empty if it does not read like one: most are random."""
    text = unquote(stream).replace("_", " ").strip()
    return text if len(text) <= 64 and text.istitle() and re.fullmatch(r"[^\W\d_]+([ .'-]+[^\W\d_]+)*\.?", text) else ""


def _allowed(url: str, settings: WhepSettings) -> bool:
    parts = urlsplit(url)
    return bool({_ANY, parts.netloc, parts.hostname} & {*settings.hosts})


def _followed(url: str, location: str, settings: WhepSettings) -> str:
    target = _joined(url, location)
    here, there = urlsplit(url), urlsplit(target)
    # Never from https to http: the token would go there in the clear.
    schemes = ("https",) if here.scheme == "https" else ("http", "https")
    if there.scheme not in schemes or not (there.netloc == here.netloc or _allowed(target, settings)):
        raise CallRefused("the server redirects to where the recorder may not go")
    return target


def _joined(url: str, location: str) -> str:
    """Return where a server's `Location` leads, empty if that is no address."""
    try:
        return address_parts(urljoin(url, location)).geturl() if location else ""
    except ValueError:
        return ""


async def _read(response: httpx2.Response) -> str:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _MOST_ANSWER_BYTES:
            raise CallRefused(f"the server's answer is longer than {_MOST_ANSWER_BYTES} bytes")
    return body.decode(errors="replace")


async def _reach(host: str) -> None:
    try:
        parts = urlsplit(f"//{host}")
        async with asyncio.timeout(_PROBE_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443)
    except (OSError, ValueError, TimeoutError) as error:
        raise ProviderAway(f"a server of WHEP_HOSTS does not answer ({type(error).__name__})") from error
    writer.close()


KIND = ProviderKind(
    name="whep",
    summary="streams of a server, by subscription over WHEP",
    address_form="https://host/path, with ?name=NAME for a stream of one speaker",
    capabilities=Capabilities(own_tracks=True, mute_signals=False),
    make=WhepProvider,
    settings=WhepSettings,
    off=lambda settings: "" if settings.hosts else "set WHEP_HOSTS to the servers that may be subscribed to",
)
