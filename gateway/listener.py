"""The HTTP listener: uvicorn on a socket of ours, stopped by us and not by signals."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from gateway.bounded_http import BoundedHttp
from gateway.certificate import HttpCertificate
from kit.lifecycle import StartError
from kit.telemetry import logs
from kit.telemetry.metrics import split_address

MAX_FRAME_BYTES = 64 * 1024
"""Largest WebSocket message; an audio frame of 32 KiB fits with its header."""

_PING_SECONDS = 5.0
_PONG_SECONDS = 10.0
_START_SECONDS = 10.0
_BACKLOG = 512

log = logs.get()


class HttpListener:
    """A listener that serves; `url` is where."""

    def __init__(self, server: "_Server", serving: asyncio.Task[None], host: str, port: int, scheme: str) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self._server = server
        self._serving = serving

    @property
    def url(self) -> str:
        """Address for clients, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    async def drain(self) -> None:
        """Take no new connections, close WebSockets with 1012, let open requests end within the grace."""
        self._server.should_exit = True
        await asyncio.wait({self._serving})


class _Server(uvicorn.Server):
    """uvicorn without signal handlers: the process has its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def open_http(
    listen: str, app: ASGIApp, *, grace_seconds: float, certificate: HttpCertificate | None = None
) -> AsyncIterator[HttpListener]:
    """Serve `app` on `listen` (`host:port`, port 0 takes a free one) for the block, over TLS with a `certificate`.

    Raises:
        StartError: the address is taken or not this machine's, or the certificate cannot be used.
    """
    host, port = split_address(listen)
    context = certificate.context() if certificate else None
    bound = _bind(host, port)
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,  # sound does not shrink, and 300 kB per socket would be spent on trying
        ws_ping_interval=_PING_SECONDS,
        ws_ping_timeout=_PONG_SECONDS,
        timeout_graceful_shutdown=max(1, round(grace_seconds)),
    )
    config.load()
    config.ssl = context
    server = _Server(config)
    async with asyncio.TaskGroup() as tasks:
        serving: asyncio.Task[Any] = tasks.create_task(server.serve(sockets=[bound]), name="gateway.http")
        async with asyncio.timeout(_START_SECONDS):
            await server.ready.wait()
        renewing = None
        if certificate and context:
            renewing = tasks.create_task(certificate.keep_fresh(context), name="gateway.certificate")
        opened = HttpListener(server, serving, host, bound.getsockname()[1], "https" if context else "http")
        log.info("http_listening", url=opened.url)
        try:
            yield opened
        finally:
            if renewing:
                renewing.cancel()
            await asyncio.shield(opened.drain())


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off; otherwise small answers wait 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return bound
