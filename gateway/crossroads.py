"""The crossroads behind the edge: the contract's paths go straight to the transcoder, all others to the framework."""

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

_CONTRACT = "/v1/"


class Crossroads:
    """An ASGI application of two; the framework's routes are tried one after another, the transcoder's are looked up.

    Args:
        transcoder: serves the contract.
        framework: serves pages, sockets and what else the contract does not have, and knows the transcoder as its
            last resort.
        exceptions: HTTP paths below /v1/ that are the framework's.
    """

    def __init__(self, transcoder: ASGIApp, framework: ASGIApp, exceptions: Collection[str]) -> None:
        self._transcoder = transcoder
        self._framework = framework
        self._exceptions = frozenset(exceptions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(_CONTRACT) and path not in self._exceptions:
            await self._transcoder(scope, receive, send)
        else:
            await self._framework(scope, receive, send)
