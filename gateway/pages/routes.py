"""Routes of the pages, with a policy under which only our own files run."""

import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gateway.edge import ROUTE

_HERE = Path(__file__).parent
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
# Files are named without a version: browsers ask each time and mostly hear "not modified".
_HEADERS = {"content-security-policy": _POLICY, "cache-control": "no-cache"}

_WORKER = "scripts/recording_worker.js"
"""It shows the key of pages below /meetings/ with what their <audio> asks for; browsers want that allowed."""

mimetypes.add_type("text/javascript", ".js")  # some systems' tables say text/plain, which browsers refuse to run


def page_routes() -> list[BaseRoute]:
    """Return the routes of every page and of their files."""
    return [
        _page("/", "index.html"),
        _page("/rooms/{meeting_id}", "room.html"),
        _page("/meetings/{meeting_id}", "meeting.html"),
        Mount("/static", _Files(directory=_HERE / "static")),
    ]


def _page(path: str, name: str) -> Route:
    file = _HERE / name

    async def serve(request: Request) -> Response:
        request.scope[ROUTE] = path
        return FileResponse(file, headers=_HEADERS, media_type="text/html")

    return Route(path, serve, name=name)


class _Files(StaticFiles):
    """Static files with the pages' headers."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        scope[ROUTE] = "/static"
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        if path == _WORKER:
            response.headers["service-worker-allowed"] = "/meetings/"
        return response
