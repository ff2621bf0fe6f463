"""The signalling protocol: JSON text frames, `{"v": 1, "type": ...}`, with payloads exactly as browsers make them.

    client to server                                  server to client
    join    {room, name, role, token?, resume?,       joined        {self, room, iceServers, peers, resume}
             recording?}                              peer-joined   {peer}
    signal  {to, data}                                peer-updated  {peer, by}
    chat    {text, to?}                               peer-left     {id}
    mute    {muted, target?}                          signal        {from, data}
    consent {recording, target?}                      chat          {from, text, ts, to}
    leave   {}                                        pong          {ts}
    ping    {}                                        error         {code, ...}

A peer is `{id, name, role, muted, recording, joinedAt, initiator, polite}`; the last two say how the receiver deals
with it. `recording` is false for somebody who has withdrawn from the recording: only they themselves consent again, a
recorder may say with `target` that somebody withdrew by another way. A line of `chat` with `to` is for one member, and
comes back to its sender as every line does; `to` is empty for everybody. A name that another member bears already gets
a number. `data` is one of `{"description": {type, sdp}}`, `{"candidate": ... or null}`, `{"restart": true}`. `resume`
from `joined`, sent with a later `join`, gives the same peer id again: a participant who drops stays one participant.
Error codes: bad-message, join-first, already-joined, meeting-not-found, meeting-finished, unauthenticated, forbidden,
room-full, no-such-peer, unavailable. Errors before `joined` close the socket, later ones do not.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

import orjson

from kit.names import shown_name

VERSION = 1

Role = Literal["guest", "host", "recorder"]

_ROLES = ("guest", "host", "recorder")
_MAX_CHAT_CHARACTERS = 4000
_DATA = ("description", "candidate", "restart")


class SignallingError(Exception):
    """Something that a member is told by code."""

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Join:
    """A wish to be in the room."""

    name: str
    role: Role
    token: str
    resume: str
    recording: bool = True


@dataclass(frozen=True, slots=True)
class Signal:
    """Something for one other member; the server does not look inside a description."""

    to: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chat:
    """A line for everybody, or for the member `to`."""

    text: str
    to: str = ""


@dataclass(frozen=True, slots=True)
class Mute:
    """A microphone was switched; `target` is empty for the sender's own."""

    muted: bool
    target: str


@dataclass(frozen=True, slots=True)
class Consent:
    """Somebody withdraws from the recording or consents again; `target` is empty for the sender."""

    recording: bool
    target: str


@dataclass(frozen=True, slots=True)
class Leave:
    """A goodbye."""


@dataclass(frozen=True, slots=True)
class Ping:
    """A question whether the server is there."""


ClientMessage = Join | Signal | Chat | Mute | Consent | Leave | Ping


def parse_client_message(text: str, room: str) -> ClientMessage:
    """Read a message of a client of `room`.

    Raises:
        SignallingError: bad-message; `why` says what is wrong.
    """
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _bad("not JSON") from None
    if not isinstance(message, dict):
        raise _bad("not an object")
    match message.get("type"):
        case "join":
            return _join(message, room)
        case "signal":
            return Signal(_text(message, "to"), _data(message.get("data")))
        case "chat":
            text = _text(message, "text")[:_MAX_CHAT_CHARACTERS]
            if not text.strip():
                raise _bad("text is empty")
            return Chat(text, _text(message, "to", default=""))
        case "mute":
            return Mute(_flag(message, "muted"), _text(message, "target", default=""))
        case "consent":
            return Consent(_flag(message, "recording"), _text(message, "target", default=""))
        case "leave":
            return Leave()
        case "ping":
            return Ping()
    raise _bad("unknown type")


def server_message(kind: str, **fields: Any) -> str:
    """Return a message of the server; `from_` becomes `from`, `self_` becomes `self`."""
    return orjson.dumps(
        {"v": VERSION, "type": kind, **{key.rstrip("_"): value for key, value in fields.items()}}
    ).decode()


def _join(message: dict[str, Any], room: str) -> Join:
    if message.get("room", room) != room:
        raise _bad("the socket belongs to another room")
    role = message.get("role", "guest")
    if role not in _ROLES:
        raise _bad("unknown role")
    name = shown_name(_text(message, "name"))
    if not name:
        raise _bad("a name is needed")
    token, resume = _text(message, "token", default=""), _text(message, "resume", default="")
    return Join(name, cast("Role", role), token, resume, _flag(message, "recording", default=True))


def _data(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict) or len(data) != 1 or next(iter(data)) not in _DATA:
        raise _bad("data is a description, a candidate or a restart")
    return data


def _text(message: dict[str, Any], field: str, *, default: str | None = None) -> str:
    value = message.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise _bad(f"{field} is text")
    return value


def _flag(message: dict[str, Any], field: str, *, default: bool | None = None) -> bool:
    value = message.get(field, default)
    if not isinstance(value, bool):
        raise _bad(f"{field} is true or false")
    return value


def _bad(why: str) -> SignallingError:
    return SignallingError("bad-message", why=why)
