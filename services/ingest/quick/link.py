"""Links of meetings: what may be kept of them, and through which provider they are joined."""

import re
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from kit.errors import InvalidArgument

_MOST_CHARACTERS = 2_000
_ROOM = re.compile(r"/rooms/([^/]+)/?")

BROWSER = "browser"
ROOM = "room"


def check_link(url: str) -> None:
    """Return if a link can be that of a meeting.

    Raises:
        InvalidArgument: it cannot.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or len(url) > _MOST_CHARACTERS:
        raise InvalidArgument("must be the link of a meeting, of the form https://host/path", field="url")


def shown_link(url: str) -> str:
    """Return a link without what may be secret in it: user, password, and what follows `?` or `#`."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def host_of(url: str) -> str:
    """Return the host of a link."""
    return urlsplit(url).hostname or ""


def room_in(url: str) -> str:
    """Return the name of the room that a link may lead to, empty if it has another form."""
    match = _ROOM.fullmatch(urlsplit(url).path)
    return unquote(match.group(1)) if match else ""


def room_link(gateway_url: str, room: str) -> str:
    """Return the address of a room of our own as the connector reaches it."""
    return f"{gateway_url.rstrip('/')}/rooms/{quote(room, safe='')}"
