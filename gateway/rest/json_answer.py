"""A JSON answer: what most requests get, without the framework's way to a header."""

from collections.abc import Mapping

from starlette.types import Receive, Scope, Send


class JsonAnswer:
    """An ASGI response.

    Args:
        code: HTTP status.
        headers: names in lower case, and values; those of the body are added.
        body: the JSON text.
    """

    def __init__(self, code: int, headers: Mapping[str, str], body: bytes) -> None:
        self._code = code
        self._headers = headers
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers.items()]
        headers += [(b"content-length", b"%d" % len(self._body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": self._code, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})
