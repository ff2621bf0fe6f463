"""One HTTP exchange: its body, its deadline, and whether the client is still there."""

import asyncio
import re
from collections.abc import Awaitable, Iterable
from http import HTTPStatus
from typing import TypeVar

from starlette.requests import Request
from starlette.types import Receive

from gateway.errors import BodyTooLarge, BodyTooSlow, ClientGone
from gateway.headers import headers_of
from kit.errors import InvalidArgument

T = TypeVar("T")

ROUTE = "agent.route"
"""Scope key under which an application names its route: metrics must not have a label per meeting."""

DEADLINE_HEADER = "grpc-timeout"
CODE_KEY = "x-http-code"
LOCATION_KEY = "location"

_LOOK_AFTER_SECONDS = 0.05
"""Work that takes no longer is done before it matters whether somebody is still there."""
_TIMEOUT = re.compile(r"(?P<count>\d{1,8})(?P<unit>[HMSmun])")
_UNIT_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


async def read_body(request: Request, *, max_bytes: int, timeout_seconds: float) -> bytes:
    """Return the whole body.

    Raises:
        BodyTooLarge: it is longer than `max_bytes`; known before reading when the length is declared.
        BodyTooSlow: it did not come within `timeout_seconds`.
        ClientGone: the client hung up in the middle.
    """
    headers = headers_of(request.scope)
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise BodyTooLarge(f"at most {max_bytes} bytes", limit=max_bytes)
    if not declared and "transfer-encoding" not in headers and request.scope["http_version"] == "1.1":
        return await _whole(request, max_bytes)  # there is none, so there is nothing to wait for
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _whole(request, max_bytes)
    except TimeoutError:
        raise BodyTooSlow(f"the body did not come within {timeout_seconds:g} s") from None


async def _whole(request: Request, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        event = await request.receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = event.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise BodyTooLarge(f"at most {max_bytes} bytes", limit=max_bytes)
        parts.append(part)
        if not event.get("more_body", False):
            return b"".join(parts)


def deadline_seconds(request: Request, *, limit_seconds: float) -> float:
    """Return how long the call may take: the client's `Grpc-Timeout` ("500m" is half a second), within our limit.

    Raises:
        InvalidArgument: the header is not a timeout.
    """
    wanted = headers_of(request.scope).get(DEADLINE_HEADER)
    if wanted is None:
        return limit_seconds
    match = _TIMEOUT.fullmatch(wanted)
    if match is None:
        raise InvalidArgument("is not a timeout such as 500m or 5S", field=DEADLINE_HEADER)
    return min(limit_seconds, int(match["count"]) * _UNIT_SECONDS[match["unit"]])


async def or_gone(receive: Receive, work: Awaitable[T]) -> T:
    """Return what `work` gives, unless the client hangs up first: then `work` is cancelled.

    The body must have been read: what is left to receive is the hang-up. As in `asyncio.timeout`, `work` runs in the
    present task and the watcher cancels that: a second task for each request would cost as much as its route. For the
    same reason nobody watches at first.

    Raises:
        ClientGone: the client hung up.
    """
    task = asyncio.current_task()
    assert task is not None
    present, before, watch = task, task.cancelling(), _Watch()

    async def hang_up() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if not watch.over:
            watch.gone = True
            present.cancel()

    def look() -> None:
        watch.task = asyncio.create_task(hang_up(), name="rest.hang_up")

    looking = asyncio.get_running_loop().call_later(_LOOK_AFTER_SECONDS, look)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.gone and present.uncancel() <= before:
            raise ClientGone from None
        raise
    finally:
        watch.over = True
        looking.cancel()
        if watch.task is not None:
            watch.task.cancel()


class _Watch:
    """What the watcher and the watched know of each other."""

    task: "asyncio.Task[None] | None" = None
    gone = False
    over = False


def answer_head(metadata: Iterable[tuple[str, str | bytes]] | None) -> tuple[int, dict[str, str]]:
    """Return the status and the headers that a room gave its answer in its initial metadata.

    `x-http-code` is a success other than 200; `location` names what was made, by a path of this API.
    """
    code, headers = HTTPStatus.OK.value, dict[str, str]()
    for key, value in metadata or ():
        if key == CODE_KEY and re.fullmatch(r"2\d\d", str(value)):
            code = int(value)
        elif key == LOCATION_KEY and re.fullmatch(r"/[!-~]*", str(value)):
            headers["location"] = str(value)
    return code, headers
