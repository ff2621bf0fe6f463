"""The edge of HTTP: every request passes here on its way in and out.

In: trace and request ids, taken from the caller or made; WebSockets that a foreign page opens are refused. Out: ids and
security headers on the response, metrics, a log line, and a bug reads "internal error".
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import credentials
from gateway.headers import headers_of
from gateway.rest import problem
from gateway.rest.exchange import ROUTE as ROUTE
from kit.audit.origin import Origin, Origins
from kit.ids import new_id
from kit.rpc.edge import REQUEST_ID
from kit.telemetry import logs, traces
from kit.telemetry.trace_context import TRACE_ID, TraceContext, current

_REQUESTS = Counter("agent_http_requests", "HTTP requests answered.", ("method", "route", "code"))
_SECONDS = Histogram("agent_http_seconds", "Time to the end of a response, in seconds.", ("method", "route"))
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(self)"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""What a response has unless it says something else itself."""
_FORBIDDEN, _INTERNAL = 4403, 1011
_STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_TRACE_ID_HEADER, _REQUEST_ID_HEADER = TRACE_ID.encode(), REQUEST_ID.encode()
_OURS = frozenset({_TRACE_ID_HEADER, _REQUEST_ID_HEADER, _STRICT_TRANSPORT[0]})

log = logs.get()
_root = logging.getLogger()


class HttpEdge:
    """An ASGI middleware around the whole application.

    Args:
        app: the application.
        allowed_origins: origins of other pages that may open WebSockets; browsers do not ask before they do.
        origins: tells the rooms which request a call stands for.
    """

    def __init__(self, app: ASGIApp, *, allowed_origins: Collection[str] = (), origins: Origins | None = None) -> None:
        self._app = app
        self._origins = origins or Origins()
        self._allowed_origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = headers_of(scope)
        request_id = headers.get(REQUEST_ID, "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = new_id()
        scope.setdefault("state", {})[REQUEST_ID] = request_id
        kind = str(scope.get("method", "WS"))
        origin = self._origins.write(Origin.of(kind, scope["path"]), request_id)
        credentials.set_arrival(credentials.Arrival(request_id, origin))
        with traces.span(f"HTTP {kind}", parent=TraceContext.parse(headers), kind=SpanKind.SERVER):
            if scope["type"] == "http":
                await _Exchange(scope, send, request_id).run(self._app, receive)
            elif self._foreign(headers):
                await send({"type": "websocket.close", "code": _FORBIDDEN})
            else:
                await self._serve_socket(scope, receive, send)

    def _foreign(self, headers: Mapping[str, str]) -> bool:
        """Whether a page from elsewhere asks; programs other than browsers send no origin."""
        origin = headers.get("origin")
        return origin not in (None, *self._allowed_origins) and urlsplit(origin).netloc != headers.get("host")

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # the edge: whatever is left is a bug
            log.error("websocket_crashed", path=scope["path"], exc_info=error)
            with suppress(Exception):  # the socket may be anywhere between asked for and gone
                await send({"type": "websocket.close", "code": _INTERNAL})


class _Exchange:
    """One HTTP request and its response."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = scope
        self._send = send
        self._request_id = request_id
        self._code: int | None = None
        self._started = monotonic()

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        try:
            await app(self._scope, receive, self.send)
        except Exception as error:  # the edge: whatever is left is a bug
            log.error("http_request_crashed", route=self._route, exc_info=error)
            if self._code is None:
                await problem.internal().response()(self._scope, receive, self.send)
            else:
                raise  # too late for a status: the server cuts the connection
        finally:
            self._finish()

    async def send(self, message: Message) -> None:
        """Send a part of the response, with our headers on its start."""
        if message["type"] == "http.response.start":
            self._code = int(message["status"])
            message["headers"] = self._with_ours(message.get("headers", ()))
        await self._send(message)

    def _with_ours(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        headers = [pair for pair in given if pair[0] not in _OURS]
        named = {name for name, _ in headers}
        position = current()
        if position is not None:
            headers.append((_TRACE_ID_HEADER, position.trace_id.encode()))
        headers.append((_REQUEST_ID_HEADER, self._request_id.encode()))
        headers += [pair for pair in _HEADERS if pair[0] not in named]
        if self._scope.get("scheme") == "https":
            headers.append(_STRICT_TRANSPORT)
        return headers

    @property
    def _route(self) -> str:
        return str(self._scope.get(ROUTE, "other"))

    def _finish(self) -> None:
        seconds = monotonic() - self._started
        method, route = _method(self._scope["method"]), self._route
        code = self._code or 499  # no answer: the client was gone
        requests, observed = _counters(method, route, code)
        requests.inc()
        observed.observe(seconds)
        fields: dict[str, Any] = {"method": method, "route": route, "code": code, "seconds": round(seconds, 4)}
        if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("http_request", **fields)
        elif _root.isEnabledFor(logging.DEBUG):  # asked first: to make a line that nobody wants takes 10 µs
            log.debug("http_request", **fields)


@cache
def _counters(method: str, route: str, code: int) -> tuple[Counter, Histogram]:
    """Return the metrics of one kind of request; there are as many as routes and statuses."""
    return _REQUESTS.labels(method, route, str(code)), _SECONDS.labels(method, route)


def _method(method: str) -> str:
    return method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"
