"""A client of the Janus WebRTC server: one session, its handles, and what the server says on them.

Messages are the server's own JSON, over a WebSocket or over HTTP with long polls.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from kit.ids import new_id
from kit.telemetry import logs

CALL_SECONDS = 10.0
KEEPALIVE_SECONDS = 20.0
_FRAME_BYTES = 1024 * 1024
_EVENTS = 256
_POLL_SECONDS = 45.0
_POLLED_AT_ONCE = 10

log = logs.get()

Json = dict[str, Any]


class JanusError(Exception):
    """The server refused a request; `code` is its own number, of the core or of a plugin."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Janus refused: {message} ({code})")
        self.code = code


class JanusGone(Exception):
    """The server cannot be reached, did not answer in time, or ended the session."""


class Transport(Protocol):
    """Carries messages to the server and back."""

    async def send(self, message: Json) -> None:
        """Send a message.

        Raises:
            JanusGone: the connection is lost.
        """

    async def receive(self) -> Json:
        """Return the next message.

        Raises:
            JanusGone: the connection is lost.
        """

    def follow(self, session_id: int) -> None:
        """Receive what concerns a session from now on."""


class Handle:
    """One attachment to a plugin; see `JanusSession.attach`."""

    def __init__(self, session: "JanusSession", handle_id: int) -> None:
        self._session = session
        self._id = handle_id
        self.events: asyncio.Queue[Json] = asyncio.Queue(_EVENTS)
        """What the server says on the handle, answers to requests aside."""

    async def message(self, body: Json, jsep: Json | None = None) -> Json:
        """Send a request to the plugin and return the event that answers it.

        Raises:
            JanusError: the plugin refused.
            JanusGone: the session is lost, or there is no answer in time.
        """
        request: Json = {"janus": "message", "handle_id": self._id, "body": body}
        answer = await self._session.call(request | ({"jsep": jsep} if jsep else {}), event=True)
        data = plugin_data(answer)
        if "error_code" in data:
            raise JanusError(int(data["error_code"]), str(data.get("error", "")))
        return answer

    async def detach(self) -> None:
        """Give the handle up; its connection is closed."""
        self._session.forget(self._id)
        await self._session.call({"janus": "detach", "handle_id": self._id})


class JanusSession:
    """A session on the server; see `open_janus`.

    Args:
        transport: carries the messages.
        proofs: fields that prove us in every request ("apisecret", "token").
    """

    def __init__(self, transport: Transport, proofs: Mapping[str, str]) -> None:
        self._transport = transport
        self._proofs = proofs
        self._session_id: int | None = None
        self._waiting: dict[str, tuple[asyncio.Future[Json], bool]] = {}
        self._handles: dict[int, Handle] = {}
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def begun(self) -> bool:
        """Whether the server knows the session."""
        return self._session_id is not None

    async def create(self) -> None:
        """Begin the session; see `call`."""
        answer = await self.call({"janus": "create"})
        self._session_id = int(answer["data"]["id"])
        self._transport.follow(self._session_id)

    async def attach(self, plugin: str) -> Handle:
        """Attach to a plugin; see `call`."""
        answer = await self.call({"janus": "attach", "plugin": plugin})
        handle_id = int(answer["data"]["id"])
        handle = self._handles[handle_id] = Handle(self, handle_id)
        return handle

    async def info(self) -> Json:
        """Return what the server says of itself; see `call`."""
        return await self.call({"janus": "info"})

    async def call(self, request: Json, *, event: bool = False) -> Json:
        """Send a request and return its answer, or with `event` the event that follows on a bare acknowledgement.

        Raises:
            JanusError: the server refused.
            JanusGone: the session is lost, or there is no answer in time.
        """
        if self._lost.done():
            raise JanusGone(self._lost.result())
        transaction = new_id()
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[transaction] = (answer, event)
        session = {} if self._session_id is None else {"session_id": self._session_id}
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._transport.send({**request, **session, **self._proofs, "transaction": transaction})
                ends: set[asyncio.Future[Any]] = {answer, self._lost}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            self._lose(f"Janus did not answer {request['janus']} within {CALL_SECONDS:g} s")
            raise JanusGone(self._lost.result()) from error
        except JanusGone as gone:
            self._lose(str(gone))
            raise
        finally:
            del self._waiting[transaction]
        if not answer.done():
            raise JanusGone(self._lost.result())
        message = answer.result()
        if message.get("janus") == "error":
            told = message.get("error", {})
            raise JanusError(int(told.get("code", 0)), str(told.get("reason", "")))
        return message

    def forget(self, handle_id: int) -> None:
        """Take nothing more from a handle."""
        self._handles.pop(handle_id, None)

    async def lost(self) -> str:
        """Wait until the session is lost; returns why."""
        return await asyncio.shield(self._lost)

    async def read(self) -> None:
        """Take what the server sends until the session is lost."""
        try:
            while not self._lost.done():
                self._take(await self._transport.receive())
        except JanusGone as gone:
            self._lose(str(gone))
        except Exception as error:  # the edge: a server may say anything
            log.warning("janus_not_understood", error=repr(error)[:200])
            self._lose("Janus said what cannot be understood")

    async def keep_alive(self) -> None:
        """Tell the server now and then that we are here, until the session is lost."""
        while not self._lost.done():
            await asyncio.sleep(KEEPALIVE_SECONDS)
            try:
                await self.call({"janus": "keepalive"})
            except (JanusGone, JanusError) as error:
                self._lose(str(error))

    def _take(self, message: Json) -> None:
        kind = message.get("janus")
        answer, wants_event = self._waiting.get(str(message.get("transaction", "")), (None, False))
        if answer is not None and not (wants_event and kind == "ack"):
            if not answer.done():
                answer.set_result(message)
        elif kind == "timeout":
            self._lose("Janus ended the session, because it heard nothing of us")
        elif kind not in ("ack", "keepalive", "success"):
            self._hand_over(message)

    def _hand_over(self, message: Json) -> None:
        handle = self._handles.get(int(message.get("sender", 0)))
        if handle is None:
            return
        try:
            handle.events.put_nowait(message)
        except asyncio.QueueFull:  # nobody could follow the room any more: begin afresh
            self._lose("Janus said more than could be followed")

    def _lose(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)


@asynccontextmanager
async def open_janus(url: str, proofs: Mapping[str, str]) -> AsyncIterator[JanusSession]:
    """Hold a session on a server for the block; the server forgets it at the end.

    Args:
        url: of the server's API, `ws://host:8188`, `wss://host/ws`, `http://host:8088/janus` or `https://host/janus`.
        proofs: fields that prove us in every request.

    Raises:
        JanusGone: the server cannot be reached.
        JanusError: it refuses us.
    """
    carrying = _open_socket(url) if urlsplit(url).scheme in ("ws", "wss") else _open_polls(url, proofs)
    async with carrying as transport:
        session = JanusSession(transport, proofs)
        reading = asyncio.create_task(session.read(), name="connector.janus.read")
        running = [reading]
        try:
            await session.create()
            running.append(asyncio.create_task(session.keep_alive(), name="connector.janus.keepalive"))
            yield session
        finally:
            await _destroy(session)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def plugin_data(message: Json) -> Json:
    """Return what a plugin said in a message, empty if it is not a plugin's."""
    data = message.get("plugindata", {}).get("data", {})
    return data if isinstance(data, dict) else {}


async def _destroy(session: JanusSession) -> None:
    if not session.begun:
        return
    try:
        async with asyncio.timeout(2):
            await session.call({"janus": "destroy"})
    except (JanusGone, JanusError, TimeoutError):
        log.info("janus_gone_before_leaving")


class _Connect(connect):
    """Connects to the server that was named and follows no redirection: requests hold secrets."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Take a redirection for the failure that it is."""
        return exc


class _Socket:
    """Messages over a WebSocket; the server sends those of every session of ours by itself."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, message: Json) -> None:
        try:
            await self._socket.send(json.dumps(message))
        except ConnectionClosed as closed:
            raise JanusGone("the connection to Janus was lost") from closed

    async def receive(self) -> Json:
        while True:
            try:
                text = await self._socket.recv()
            except ConnectionClosed as closed:
                raise JanusGone("the connection to Janus was lost") from closed
            message = _parsed(text)
            if message is not None:
                return message

    def follow(self, session_id: int) -> None:
        """Do nothing: the server sends what concerns us."""


@asynccontextmanager
async def _open_socket(url: str) -> AsyncIterator[_Socket]:
    try:
        async with asyncio.timeout(CALL_SECONDS):
            socket = await _Connect(
                url,
                proxy=None,
                subprotocols=[Subprotocol("janus-protocol")],
                max_size=_FRAME_BYTES,
                max_queue=_EVENTS,
                ping_interval=5,
                ping_timeout=10,
            )
    except (OSError, WebSocketException, TimeoutError) as error:
        raise JanusGone(f"Janus cannot be reached ({type(error).__name__})") from error
    async with socket:
        yield _Socket(socket)


class _Polls:
    """Messages over HTTP: requests are posted, and a long poll brings what the server says by itself."""

    def __init__(self, http: httpx2.AsyncClient, url: str, proofs: Mapping[str, str]) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._proofs = proofs
        self._inbox: asyncio.Queue[Json | JanusGone] = asyncio.Queue(_EVENTS)
        self._polling: asyncio.Task[None] | None = None

    async def send(self, message: Json) -> None:
        parts = [str(message[key]) for key in ("session_id", "handle_id") if key in message]
        body = {key: value for key, value in message.items() if key not in ("session_id", "handle_id")}
        try:
            response = await self._http.post("/".join([self._url, *parts]), json=body)
        except httpx2.HTTPError as error:
            raise JanusGone(f"Janus cannot be reached ({type(error).__name__})") from error
        answer = _parsed(response.content)
        if answer is None:
            raise JanusGone(f"Janus answered with status {response.status_code}")
        await self._inbox.put(answer)

    async def receive(self) -> Json:
        message = await self._inbox.get()
        if isinstance(message, JanusGone):
            raise message
        return message

    def follow(self, session_id: int) -> None:
        self._polling = asyncio.create_task(self._poll(session_id), name="connector.janus.poll")

    async def _poll(self, session_id: int) -> None:
        query = {"maxev": str(_POLLED_AT_ONCE), **self._proofs}
        while True:
            try:
                response = await self._http.get(f"{self._url}/{session_id}", params=query, timeout=_POLL_SECONDS)
                response.raise_for_status()
                messages = json.loads(response.content)
            except (httpx2.HTTPError, ValueError) as error:
                await self._inbox.put(JanusGone(f"Janus cannot be reached ({type(error).__name__})"))
                return
            for message in messages if isinstance(messages, list) else [messages]:
                if isinstance(message, dict):
                    await self._inbox.put(message)

    async def close(self) -> None:
        """Stop polling."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)


@asynccontextmanager
async def _open_polls(url: str, proofs: Mapping[str, str]) -> AsyncIterator[_Polls]:
    async with httpx2.AsyncClient(timeout=CALL_SECONDS, trust_env=False) as http:
        polls = _Polls(http, url, proofs)
        try:
            yield polls
        finally:
            await polls.close()


def _parsed(text: str | bytes) -> Json | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
