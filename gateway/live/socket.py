"""A WebSocket of JSON objects and binary frames."""

from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway.live.closing import POLICY, SocketClosed


class PeerGone(Exception):
    """The other side closed the socket or vanished."""


class JsonSocket:
    """Sends and receives; several tasks may send."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> dict[str, Any] | bytes:
        """Return the next JSON object or binary frame.

        Raises:
            PeerGone: there will be none.
            SocketClosed: a text frame is no JSON object.
        """
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise PeerGone
        binary: bytes | None = message.get("bytes")
        if binary is not None:
            return binary
        try:
            value = orjson.loads(message["text"])
        except orjson.JSONDecodeError as error:
            raise SocketClosed(POLICY, "a text frame is a JSON object") from error
        if not isinstance(value, dict):
            raise SocketClosed(POLICY, "a text frame is a JSON object")
        return value

    async def send(self, message: dict[str, Any]) -> None:
        """Send a JSON object; waits while the peer does not keep up.

        Raises:
            PeerGone: nobody is there to get it.
        """
        try:
            await self._websocket.send_text(orjson.dumps(message).decode())
        except (WebSocketDisconnect, RuntimeError) as error:
            raise PeerGone from error

    async def close(self, closed: SocketClosed) -> None:
        """Say why, then close; nothing happens when the peer is gone."""
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            if closed.problem is not None:
                await self.send({"type": "error", "problem": closed.problem.document()})
            await self._websocket.close(closed.code, closed.reason)
        except (PeerGone, RuntimeError):
            return
