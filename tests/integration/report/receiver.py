"""A webhook's receiver on a real port: answers as it is told and keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from standardwebhooks import Webhook as Verifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(slots=True)
class Receiver:
    """`answers` are given in turn, the last one for ever; a status of 0 never answers."""

    answers: list[tuple[int, dict[str, str]]] = field(default_factory=lambda: [(200, {})])
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """`webhook-id` and body of everything that was signed rightly."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @property
    def ids(self) -> list[str]:
        """`webhook-id` of everything received."""
        return [each for each, _ in self.received]

    async def take(self, request: Request) -> Response:
        """Verify, keep, answer."""
        body = await request.body()
        Verifier(SECRET).verify(body, dict(request.headers))
        self.received.append((request.headers["webhook-id"], json.loads(body)))
        self.arrived.set()
        status, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status == 0:
            await asyncio.sleep(60)
        return Response(status_code=status, headers=headers)


@asynccontextmanager
async def running_receiver(*answers: tuple[int, dict[str, str]]) -> AsyncIterator[Receiver]:
    """Serve on a free port for the block."""
    receiver = Receiver(list(answers) or [(200, {})])
    app = Starlette(routes=[Route("/hook", receiver.take, methods=["POST"])])
    server = uvicorn.Server(
        uvicorn.Config(app, "127.0.0.1", 0, http="h11", log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve(), name="tests.receiver")
    try:
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        receiver.url = f"http://127.0.0.1:{port}/hook?token=secret-token"
        yield receiver
    finally:
        server.should_exit = True
        await serving
