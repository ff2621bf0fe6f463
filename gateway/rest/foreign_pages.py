"""Foreign pages: which of them may call the API, as their browsers ask (CORS), and what OPTIONS says to everybody."""

from collections.abc import Collection, Sequence

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Send

from gateway.errors import RouteNotFound
from gateway.rest import contract
from gateway.rest.binding import Binding

_EXPOSED = "Location, Retry-After, X-Request-Id, X-Trace-Id"
_USUAL = "Authorization, Content-Type"
_KEPT_SECONDS = "600"


class ForeignPages:
    """Pages of other origins.

    Credentials come in headers that a page must hold itself, never in cookies; so to let a page in is to let its code
    read answers, no more.

    Args:
        allowed_origins: origins that may call.
    """

    def __init__(self, allowed_origins: Collection[str]) -> None:
        self._allowed = frozenset(allowed_origins)

    def admitting(self, request: Request, send: Send) -> Send:
        """Return `send` with the headers on its response that let the asking page read it."""
        if not self._allowed:
            return send
        origin = request.headers.get("origin", "")
        if origin not in self._allowed:
            return send

        async def send_admitting(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers["access-control-allow-origin"] = origin
                headers["access-control-expose-headers"] = _EXPOSED
                headers.add_vary_header("Origin")
            await send(message)

        return send_admitting

    def options(self, request: Request, bindings: Sequence[Binding]) -> Response:
        """Answer OPTIONS for a path: its methods, what it takes, and a browser's question before a call.

        Raises:
            RouteNotFound: there is nothing at the path.
        """
        if not bindings:
            raise RouteNotFound
        verbs = ", ".join(sorted({binding.verb for binding in bindings} | {"OPTIONS"}))
        headers = {"allow": verbs}
        taken = {
            contract.FILE_BODIES.get(binding.method.full_name, "*/*") for binding in bindings if binding.takes_file
        }
        if taken:
            headers["accept-post"] = ", ".join(sorted(taken))
        origin = request.headers.get("origin", "")
        if origin in self._allowed:
            headers |= {
                "access-control-allow-methods": verbs,
                "access-control-allow-headers": request.headers.get("access-control-request-headers", _USUAL),
                "access-control-max-age": _KEPT_SECONDS,
            }
        return Response(status_code=204, headers=headers)


NO_FOREIGN_PAGES = ForeignPages(())
