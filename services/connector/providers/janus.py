"""Janus VideoRoom: the recorder is an attendee who never publishes and subscribes to everybody who does."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr
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
    Surroundings,
    TrackWriter,
    address_parts,
)
from services.connector.providers.janus_client import (
    JanusError,
    JanusGone,
    JanusSession,
    Json,
    open_janus,
    plugin_data,
)
from services.connector.providers.janus_subscription import VIDEOROOM, Feed, Subscription
from services.connector.receive.receiver import OpusPacket
from services.connector.receive.voices import Voices

JOIN_SECONDS = 10.0
_REJOIN_BACKOFF_SECONDS = (0.25, 5.0)
_NO_SUCH_ROOM = 426
_SCHEMES = ("janus", "ws", "wss", "http", "https")

log = logs.get()


class JanusSettings(Section):
    """Calls on a Janus server (VideoRoom)."""

    model_config = SettingsConfigDict(env_prefix="JANUS_")

    url: Annotated[str, Field(pattern=r"^((wss?|https?)://.+)?$")] = ""
    """API of the server: `wss://host/ws`, `ws://host:8188`, `https://host/janus`; empty: the provider is off."""
    hosts: CommaList = ()
    """Further servers that a meeting's address may name, as `host` or `host:port`; they get no secret of ours."""
    api_secret: SecretStr | None = None
    """Secret of the server's API (`api_secret`), if it has one."""
    token: SecretStr | None = None
    """Token for a server with token authentication."""
    room_pin: SecretStr | None = None
    """Pin of rooms that have one; a `pin` in the meeting's address goes before it."""
    string_rooms: bool = False
    """Whether the server names rooms by text (`string_ids`) instead of numbers."""


@dataclass(frozen=True, slots=True)
class JanusAddress:
    """A room: the server's API, the room as the server takes it, its pin, and what proves us in every request."""

    url: str
    room: int | str
    pin: str = ""
    proofs: dict[str, str] = field(default_factory=dict)


class JanusProvider:
    """Joins VideoRooms; see `Provider`."""

    def __init__(self, settings: JanusSettings, surroundings: Surroundings) -> None:
        self._settings = settings
        self._surroundings = surroundings

    def base(self, spec: JoinSpec) -> str:
        """Return the server's API, without what follows its host; empty for an address that is none."""
        try:
            parts = urlsplit(janus_address(spec.meeting_url, self._settings).url)
        except CallRefused:
            return ""
        return f"{parts.scheme}://{parts.netloc}"

    async def probe(self) -> None:
        """Ask the server for a session, which proves our credentials too."""
        try:
            async with open_janus(self._settings.url, _proofs(self._settings)):
                pass
        except JanusError as error:
            raise CallRefused(str(error)) from error
        except JanusGone as error:
            raise ProviderAway(str(error)) from error

    @asynccontextmanager
    async def open_source(
        self, spec: JoinSpec, clock: SessionClock, tracks: TrackWriter, listener: SourceListener
    ) -> AsyncIterator["JanusSource"]:
        """Be in the room for the block."""
        address = janus_address(spec.meeting_url, self._settings)
        async with asyncio.TaskGroup() as tasks:
            voices = Voices(clock, tracks, listener, self._surroundings.patience, spec.withdrawn)
            source = JanusSource(address, self._surroundings, voices, listener)
            running = [
                tasks.create_task(source.stay(), name="connector.janus.stay"),
                tasks.create_task(voices.tick(), name="connector.janus.tick"),
            ]
            try:
                yield source
            finally:
                for task in running:
                    task.cancel()


@dataclass(slots=True)
class _Person:
    """Somebody in the room: their feeds as the server names them, whose voice each is, and which a moderator muted."""

    name: str
    feeds: dict[Feed, Any] = field(default_factory=dict)
    voices: dict[Feed, str] = field(default_factory=dict)
    muted: set[Feed] = field(default_factory=set)


class JanusSource:
    """The recorder in one VideoRoom; see `Source` and `JanusProvider.open_source`."""

    def __init__(
        self, address: JanusAddress, surroundings: Surroundings, voices: Voices, listener: SourceListener
    ) -> None:
        self._address = address
        self._surroundings = surroundings
        self._voices = voices
        self._listener = listener
        self._people: dict[str, _Person] = {}
        self._told: set[str] = set()
        self._shown = False
        self._inside = False
        self._subscription: Subscription | None = None

    @property
    def participants(self) -> Sequence[Heard]:
        """Who publishes or has published and is still there."""
        return self._voices.participants

    async def over(self) -> str:
        """Wait until the room is empty, gone or lost."""
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
        """Be in the room; come back on the same timeline when the server is lost."""
        shortest, longest = _REJOIN_BACKOFF_SECONDS
        lost_at, delay = monotonic(), shortest
        while True:
            self._inside, visited_at = False, monotonic()
            try:
                async with open_janus(self._address.url, self._address.proofs) as session:
                    await self._visit(session)
                return
            except JanusGone as error:
                lost = ProviderAway(str(error))
            except JanusError as error:
                if error.code != _NO_SUCH_ROOM or not self._voices.entered:
                    self._voices.lose(CallRefused(str(error)))
                    return
                lost = ProviderAway(str(error))  # restarted, and whoever makes its rooms has yet to make ours
            except Exception as error:  # the edge: a server may say anything
                log.warning("janus_not_understood", error=repr(error)[:200])
                lost = ProviderAway("Janus said what cannot be understood")
                self._inside = self._inside and monotonic() - visited_at > JOIN_SECONDS  # else we would come for ever
            if self._inside:
                lost_at, delay = monotonic(), shortest
            patience = self._surroundings.patience.rejoin if self._voices.entered else JOIN_SECONDS
            if monotonic() - lost_at > patience:
                self._voices.lose(lost)
                return
            self._voices.away(str(lost))
            await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - jitter, not a secret
            delay = min(longest, delay * 2)

    async def _visit(self, session: JanusSession) -> None:
        """Be in the room until it is over.

        Raises:
            JanusGone: the server was lost.
            JanusError: it refuses us.
        """
        attendee = await session.attach(VIDEOROOM)
        room: Json = {"room": self._address.room, **({"pin": self._address.pin} if self._address.pin else {})}
        join = {**room, "request": "join", "ptype": "publisher", "display": self._surroundings.recorder_name}
        state = plugin_data(await attendee.message(join))
        self._subscription = Subscription(
            session,
            {**room, "private_id": state.get("private_id")},
            self._surroundings.ice,
            on_packet=self._receive,
            on_connected=self._voices.start,
        )
        self._inside = True
        lost = asyncio.create_task(session.lost(), name="connector.janus.lost")
        hearing = asyncio.create_task(self._subscription.run(), name="connector.janus.subscription")
        told = asyncio.create_task(attendee.events.get(), name="connector.janus.event")
        try:
            self._enter(state)
            while True:
                await asyncio.wait({lost, hearing, told}, return_when=asyncio.FIRST_COMPLETED)
                if told.done():
                    if self._follow(told.result()):
                        return
                    told = asyncio.create_task(attendee.events.get(), name="connector.janus.event")
                elif hearing.done() and (crash := hearing.exception()):
                    raise crash
                else:
                    raise JanusGone(await lost)
        finally:
            self._subscription = None
            for task in (lost, hearing, told):
                task.cancel()
            await asyncio.gather(lost, hearing, told, return_exceptions=True)

    def _enter(self, state: Json) -> None:
        self._shown = "attendees" in state  # a room that lists who only attends shows the recorder to everybody
        self._voices.enter()
        publishers = _entries(state)
        for gone in self._people.keys() - {str(entry.get("id")) for entry in publishers}:
            self._leave(gone)
        for entry in publishers:
            self._publish(entry)

    def _follow(self, event: Json) -> bool:
        """Take what the room says; returns whether it is over."""
        if event.get("janus") == "detached":
            raise JanusGone("Janus took the recorder's handle away")
        match plugin_data(event):
            case {"videoroom": "destroyed"}:
                self._voices.end("the room was closed")
                return True
            case {"leaving": "ok"}:
                self._voices.lose(CallRefused("the recorder was removed from the room"))
                return True
            case {"publishers": list()} as data:
                for entry in _entries(data):
                    self._publish(entry)
            case {"unpublished": gone} if str(gone) in self._people:
                self._publish({"id": gone})
            case {"leaving": gone}:
                self._leave(str(gone))
            case {"moderation": word, "id": who, "mid": mid} if str(who) in self._people:
                self._moderate(str(who), str(mid), muted=word == "muted")
        return False

    def _publish(self, entry: Json) -> None:
        """Take somebody's streams as they are now: who publishes no audio owes none, as if they were muted."""
        who = str(entry.get("id"))
        audio = [stream for stream in entry.get("streams", ()) if stream.get("type") == "audio"]
        feeds = {(who, str(stream["mid"])): entry["id"] for stream in audio if not stream.get("disabled")}
        person = self._people.get(who)
        if person is None:
            if self._voices.finished or not entry.get("streams"):
                return
            person = self._people[who] = _Person(str(entry.get("display") or ""))
            self._voices.admit(who, person.name, muted=not feeds)
            self._tell(who, person.name)
        for ended in [feed for feed in person.feeds if feed not in feeds]:
            del person.feeds[ended]
            if (voice := person.voices.pop(ended)) != who:
                self._voices.dismiss(voice)
        for feed, raw in feeds.items():
            if feed not in person.feeds:
                person.feeds[feed] = raw
                # A second stream of theirs may be anybody's voice, that of a film for example.
                first = who not in person.voices.values()
                person.voices[feed] = who if first else f"{who}/{feed[1]}"
                self._voices.admit(person.voices[feed], person.name, Basis.OWN_TRACK if first else Basis.GUESS)
        person.muted = {(who, str(stream["mid"])) for stream in audio if stream.get("moderated")}
        self._apply_mutes(who, person)
        self._want()

    def _leave(self, who: str) -> None:
        person = self._people.pop(who, None)
        if person is not None:
            for voice in {who, *person.voices.values()}:
                self._voices.dismiss(voice)
            self._want()

    def _moderate(self, who: str, mid: str, *, muted: bool) -> None:
        person = self._people[who]
        (person.muted.add if muted else person.muted.discard)((who, mid))
        self._apply_mutes(who, person)

    def _apply_mutes(self, who: str, person: _Person) -> None:
        speaking = {voice for feed, voice in person.voices.items() if feed not in person.muted}
        for voice in {who, *person.voices.values()}:
            self._voices.mute(voice, voice not in speaking)

    def _tell(self, who: str, name: str) -> None:
        if self._shown and who not in self._told:
            self._told.add(who)
            self._listener.told(who, name, "roster")

    def _want(self) -> None:
        if self._subscription is not None:
            self._subscription.want(
                {feed: raw for person in self._people.values() for feed, raw in person.feeds.items()}
            )

    def _receive(self, feed: Feed, packet: OpusPacket) -> None:
        person = self._people.get(feed[0])
        voice = person.voices.get(feed) if person else None
        if voice is not None:
            self._voices.receive(voice, packet)


def janus_address(meeting_url: str, settings: JanusSettings) -> JanusAddress:
    """Find the room that a meeting's address names.

    The address is a room alone ("1234"), `janus://host/1234`, or a server's API with the room in its query,
    `wss://host/ws?room=1234`. Secrets of ours go to the server of JANUS_URL and to no other.

    Raises:
        CallRefused: it is not a room of a server that may be joined.
    """
    own = urlsplit(settings.url)
    parts = address_parts(meeting_url)
    query = parse_qs(parts.query)
    pin = query.get("pin", [""])[0]
    if parts.scheme in _SCHEMES and parts.netloc:
        names = [unquote(parts.path.strip("/"))] if parts.scheme == "janus" else query.get("room", [])
        if parts.netloc in (own.netloc, own.hostname):
            own_server, url = True, settings.url
        elif {parts.netloc, parts.hostname} & {*settings.hosts}:
            own_server = False
            scheme = own.scheme if parts.scheme == "janus" else parts.scheme
            url = urlunsplit((scheme, parts.netloc, own.path if parts.scheme == "janus" else parts.path, "", ""))
        else:
            raise CallRefused("the meeting's server is neither that of JANUS_URL nor one of JANUS_HOSTS")
    else:
        names, own_server, url = [meeting_url.strip()], True, settings.url
    room = names[0] if len(names) == 1 else ""
    if not re.fullmatch(r"[\w .@:-]{1,128}" if settings.string_rooms else r"\d{1,19}", room):
        raise CallRefused("the meeting's address names no room: it has the form janus://host/1234")
    proofs = _proofs(settings) if own_server else {}
    if not pin and own_server and settings.room_pin:
        pin = settings.room_pin.get_secret_value()
    return JanusAddress(url, room if settings.string_rooms else int(room), pin, proofs)


def _proofs(settings: JanusSettings) -> dict[str, str]:
    secrets = {"apisecret": settings.api_secret, "token": settings.token}
    return {name: secret.get_secret_value() for name, secret in secrets.items() if secret}


def _entries(data: Json) -> list[Json]:
    return [entry for entry in data.get("publishers", ()) if isinstance(entry, dict) and "id" in entry]


KIND = ProviderKind(
    name="janus",
    summary="rooms of a Janus server (VideoRoom)",
    address_form="janus://host/ROOM, wss://host/ws?room=ROOM, or ROOM alone",
    capabilities=Capabilities(own_tracks=True, mute_signals=True),
    make=JanusProvider,
    settings=JanusSettings,
    off=lambda settings: "" if settings.url else "set JANUS_URL to the API of a Janus server",
)
