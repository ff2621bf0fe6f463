"""The stand-in's HTTP server: the contract of SberJazz, and an address of its own for faults on demand."""

import asyncio
import contextlib
import hmac
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from kit.lifecycle import StartError
from kit.settings.address import split_address
from services.connector.providers import sberjazz_contract as contract
from services.connector.providers.sberjazz_mock.calls import Calls, Stay
from services.connector.providers.sberjazz_mock.faults import Fault, FaultPlan, FaultUnknown, Planned, read_fault
from services.connector.providers.sberjazz_mock.voices import Voice
from services.connector.spans import SAMPLE_RATE

DEFAULT_TOKEN = "mock-token"  # noqa: S105 - of a stand-in that holds nothing
_TIMEOUT_SECONDS = 60.0
_START_SECONDS = 10.0
_MOST_PAGE_BYTES = contract.MAX_ANSWER_BYTES // 2
_LARGEST_BODY_BYTES = 64 * 1024

Handler = Callable[[Request], Awaitable[Response]]


class SberJazzMock:
    """Answers requests; `requests` counts them by operation."""

    def __init__(self, calls: Calls, faults: FaultPlan, token: str) -> None:
        self.calls = calls
        self.faults = faults
        self.requests: dict[str, int] = {}
        self.bodies: dict[str, contract.JoinBody] = {}
        """The last join of each meeting."""
        self._token = token
        self._late: dict[str, list[dict[str, Any]]] = {}

    @property
    def app(self) -> Starlette:
        """The routes: the contract's, and `/mock` for whoever rehearses."""
        routes = [
            self._route("health", "GET", contract.HEALTH, self._health),
            self._route("join", "POST", contract.JOIN, self._join),
            self._route("leave", "POST", contract.LEAVE, self._leave),
            self._route("status", "GET", contract.STATUS, self._status),
            self._route("live-pull", "GET", contract.LIVE_PULL, self._live_pull),
            Route("/mock", self._guarded(self._show)),
            Route("/mock/faults", self._guarded(self._plan), methods=["POST"]),
            Route("/mock/faults", self._guarded(self._clear), methods=["DELETE"]),
            Route("/mock/meetings/{meeting_id}/disconnect", self._guarded(self._disconnect), methods=["POST"]),
            Route("/mock/meetings/{meeting_id}/end", self._guarded(self._end), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _route(self, operation: str, method: str, path: str, handler: Handler) -> Route:
        async def answer(request: Request) -> Response:
            self.requests[operation] = self.requests.get(operation, 0) + 1
            planned = self.faults.take(operation)
            return await handler(request) if planned is None else await _broken(planned)

        return Route(path, self._guarded(answer), methods=[method])

    def _guarded(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                return _error(401, "token_unknown")
            return await handler(request)

        return answer

    async def _health(self, request: Request) -> Response:
        return _json(contract.Health(status="ok"))

    async def _join(self, request: Request) -> Response:
        meeting_id = request.path_params["meeting_id"]
        content = await request.body()
        try:
            if len(content) > _LARGEST_BODY_BYTES:
                raise ValueError("too large")
            body = contract.JoinBody.model_validate_json(content)
        except (ValidationError, ValueError):
            return _error(400, "body_invalid")
        if body.call_url.rstrip("/").endswith("/no-such-call"):
            return _error(404, "call_not_found")
        stay = self.calls.join(meeting_id)
        self.bodies[meeting_id] = body
        return _json(
            contract.Joined(
                connection_id=stay.connection_id,
                state=stay.state,
                age_ms=stay.age_ms,
                notice_posted=bool(body.notice),
            )
        )

    async def _leave(self, request: Request) -> Response:
        stay = self.calls.latest(request.path_params["meeting_id"])
        if stay is None:
            return _error(404, "call_not_found")
        stay.end()
        return _json(contract.Status(state=stay.state))

    async def _status(self, request: Request) -> Response:
        stay = self.calls.latest(request.path_params["meeting_id"])
        return _error(404, "call_not_found") if stay is None else _json(contract.Status(state=stay.state))

    async def _live_pull(self, request: Request) -> Response:
        query = request.query_params
        stay = self.calls.stay(request.path_params["meeting_id"], query.get("connection_id", ""))
        if stay is None:
            return _error(404, "call_not_found")
        cursor, limit = query.get("cursor", "") or "0", query.get("limit", "100")
        if not cursor.isdigit() or not limit.isdigit() or not 1 <= int(limit) <= contract.MAX_CHUNKS:
            return _error(400, "cursor_or_limit_invalid")
        chunks = stay.chunks(int(cursor), int(limit))
        size, fitting = 0, 0
        while fitting < len(chunks) and size <= _MOST_PAGE_BYTES:
            size += len(chunks[fitting]["audio"])
            fitting += 1
        return self._page(stay, chunks[:fitting], cursor)

    def _page(self, stay: Stay, chunks: list[dict[str, Any]], cursor: str) -> Response:
        next_cursor = str(chunks[-1]["sequence"]) if chunks else cursor
        chunks = chunks + self._late.pop(stay.connection_id, [])
        planned = self.faults.take("live-pull", chunks=len(chunks)) if chunks else None
        match planned.fault if planned else None:
            case Fault.NEGATIVE_SEQUENCE:
                chunks = [{**chunks[0], "sequence": -5}, *chunks]
            case Fault.GARBAGE_AUDIO:
                garbage = {"encoding": "ogg", "audio": "AAECAwQFBgc="}
                chunks = [chunks[0] | garbage, *chunks[1:]]
            case Fault.DUPLICATES:
                chunks, next_cursor = [each for chunk in chunks for each in (chunk, chunk)], cursor
            case Fault.OUT_OF_ORDER:
                chunks = chunks[::-1]
            case Fault.LATE:
                self._late[stay.connection_id], chunks = chunks[:1], chunks[1:]
        people = [{"participant_id": voice.participant_id, "name": voice.name} for voice in stay.voices]
        return JSONResponse({"chunks": chunks, "next_cursor": next_cursor, "participants": people})

    async def _show(self, request: Request) -> Response:
        meetings = {
            meeting_id: {"state": stays[-1].state, "stays": len(stays), "age_ms": stays[-1].age_ms}
            for meeting_id, stays in self.calls.stays.items()
        }
        faults = [
            {"fault": each.fault, "times": each.times, "operation": each.operation} for each in self.faults.planned
        ]
        return JSONResponse({"meetings": meetings, "requests": self.requests, "faults": faults})

    async def _plan(self, request: Request) -> Response:
        try:
            asked = json.loads(await request.body())
            planned = read_fault(":".join(str(asked.get(key, "")) for key in ("fault", "times", "operation")))
            retry_after = asked.get("retry_after_seconds")
            planned.retry_after_seconds = None if retry_after is None else float(retry_after)
        except (FaultUnknown, ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"error": {"code": "fault_unknown", "message": str(error)}}, 400)
        self.faults.planned.append(planned)
        return JSONResponse({"planned": len(self.faults.planned)})

    async def _clear(self, request: Request) -> Response:
        self.faults.planned.clear()
        return JSONResponse({"planned": 0})

    async def _disconnect(self, request: Request) -> Response:
        return self._change(request, Stay.throw_out)

    async def _end(self, request: Request) -> Response:
        return self._change(request, Stay.end)

    def _change(self, request: Request, change: Callable[[Stay], None]) -> Response:
        stay = self.calls.latest(request.path_params["meeting_id"])
        if stay is None:
            return _error(404, "call_not_found")
        change(stay)
        return _json(contract.Status(state=stay.state))


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
async def open_mock(
    voices: Sequence[Voice],
    *,
    listen: str = "127.0.0.1:0",
    token: str = DEFAULT_TOKEN,
    chunk_seconds: float = 1.0,
    encoding: contract.Encoding = contract.Encoding.S16LE,
    faults: Sequence[Planned] = (),
) -> AsyncIterator[tuple[SberJazzMock, str]]:
    """Serve for the block; gives the stand-in and its address.

    Args:
        voices: who speaks in every call.
        listen: `host:port`; port 0 takes a free one.
        token: what callers must send.
        chunk_seconds: length of a chunk.
        encoding: s16le or wav.
        faults: what goes wrong from the start.

    Raises:
        StartError: the address is taken or not this machine's.
    """
    host, port = split_address(listen)
    calls = Calls(voices, round(chunk_seconds * SAMPLE_RATE), encoding)
    mock = SberJazzMock(calls, FaultPlan(faults), token)
    try:
        bound = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    config = uvicorn.Config(
        mock.app,
        http="h11",  # it bounds the head of a request
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    # No group: what the block raises must reach its caller as it is.
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="connector.sberjazz_mock")
    shown = f"[{host}]" if ":" in host else host
    try:
        async with asyncio.timeout(_START_SECONDS):
            await server.ready.wait()
        yield mock, f"http://{shown}:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait({serving})


async def _broken(planned: Planned) -> Response:
    match planned.fault:
        case Fault.TOO_MANY | Fault.SERVER_ERROR | Fault.AWAY:
            waits = planned.retry_after_seconds
            headers = {} if waits is None else {"retry-after": f"{waits:g}"}
            return _error(int(planned.fault), "asked_for", headers)
        case Fault.EXPIRED_TOKEN:
            return _error(401, "token_expired")
        case Fault.NOT_JSON:
            return Response("<html>502 Bad Gateway</html>", media_type="text/html")
        case Fault.WRONG_TYPES:
            return JSONResponse({"status": [], "state": 7, "connection_id": {}, "chunks": "none", "next_cursor": None})
        case Fault.ENDLESS:
            return StreamingResponse(_endless(), media_type="application/json")
        case _:
            await asyncio.sleep(_TIMEOUT_SECONDS)
            return _error(504, "asked_for")


async def _endless() -> AsyncIterator[bytes]:
    yield b'{"chunks": ["'
    while True:
        yield b"A" * 1024 * 1024
        await asyncio.sleep(0)


def _json(body: contract.Shape) -> Response:
    return JSONResponse(body.model_dump(mode="json"))


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"code": code}}, status, headers)
