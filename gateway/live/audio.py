"""The audio bridge: frames and control messages of a WebSocket to one StreamAudio call, acknowledgements back."""

import asyncio
from typing import Any

import grpc

from agent.ingest.v1 import audio_service_pb2 as pb
from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceStub
from gateway.credentials import Metadata
from gateway.live.closing import RESTARTING, TRY_LATER, SocketClosed, closed_by
from gateway.live.frame import decode_frame
from gateway.live.socket import JsonSocket
from gateway.rest import problem
from gateway.rest.decoder import parse_value
from gateway.rest.encoder import to_json_value
from kit.errors import InvalidArgument
from kit.ids import new_id
from kit.rpc.calls import held

_ROOM = "ingest"
CONTROL = ("audio", "end", "gap", "track", "track_end")
"""Messages of a session that come as JSON; their fields are those of the contract's message of that name."""


class AudioBridge:
    """One session. `open` first, then `forward` whatever comes; `acknowledge` runs beside it."""

    def __init__(self, stub: AudioServiceStub, socket: JsonSocket, metadata: Metadata) -> None:
        stream: Any = stub.StreamAudio
        self._call = stream(metadata=metadata)
        self._socket = socket
        self._session_id = ""
        self._ended = False

    async def open(self, message: dict[str, Any]) -> None:
        """Open the session that a message names; one without `session_id` gets a new one.

        Raises:
            InvalidArgument: the message is wrong.
        """
        fields = {name: value for name, value in message.items() if name not in ("type", "api_key")}
        request = pb.StreamAudioRequest()
        request.open.SetInParent()
        parse_value(fields, request.open)
        request.open.session_id = self._session_id = request.open.session_id or new_id()
        request.open.epoch = request.open.epoch or 1
        await self._write(request)

    async def forward(self, message: dict[str, Any] | bytes) -> None:
        """Send on one frame or control message; waits while the room does not keep up.

        Raises:
            InvalidArgument: it is neither.
        """
        if self._ended:
            raise InvalidArgument("nothing follows the end of a session", field="type")
        request = decode_frame(message) if isinstance(message, bytes) else _control(message)
        await self._write(request)
        if request.WhichOneof("message") == "end":
            self._ended = True
            await self._finish_writing()

    async def acknowledge(self) -> None:
        """Send what the room answers until the session is finished.

        Raises:
            SocketClosed: the call failed, or the room asked to connect again.
        """
        with held(self._call):
            try:
                while (response := await self._call.read()) is not grpc.aio.EOF:
                    await self._socket.send(self._answer(response))
            except grpc.aio.AioRpcError as error:
                raise _closed_by(error) from error
        if not self._ended:
            raise SocketClosed(RESTARTING, "connect again")
        await self._socket.send({"type": "finished"})

    def _answer(self, response: pb.StreamAudioResponse) -> dict[str, Any]:
        kind = response.WhichOneof("message") or "status"
        answer = {"type": kind, **to_json_value(getattr(response, kind))}
        return {**answer, "session_id": self._session_id} if kind == "opened" else answer

    def close(self) -> None:
        """End the call; nothing happens when it has ended."""
        self._call.cancel()

    async def _write(self, request: pb.StreamAudioRequest) -> None:
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the call has ended; `acknowledge` reads why

    async def _finish_writing(self) -> None:
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return


def _control(message: dict[str, Any]) -> pb.StreamAudioRequest:
    kind = message.get("type")
    if kind not in CONTROL:
        raise InvalidArgument(f"is one of {', '.join(CONTROL)}", field="type")
    request = pb.StreamAudioRequest()
    parse_value({"sequence": message.get("sequence", 0)}, request)
    body = getattr(request, str(kind))
    body.SetInParent()
    parse_value({name: value for name, value in message.items() if name not in ("type", "sequence")}, body)
    return request


def _closed_by(error: grpc.aio.AioRpcError) -> SocketClosed:
    # A write that races the room's refusal turns its status into this one; the next connection hears the real one.
    if error.code() is grpc.StatusCode.INTERNAL and "Core" in (error.details() or ""):
        return SocketClosed(TRY_LATER, "connect again")
    return closed_by(problem.of_call(error, _ROOM))
