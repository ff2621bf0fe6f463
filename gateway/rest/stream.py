"""Answers that go on: a server stream as one JSON document per line, as server-sent events, or as a file."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import grpc
import orjson
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message
from starlette.types import Receive, Scope, Send

from gateway.errors import ClientGone
from gateway.rest import problem
from gateway.rest.exchange import or_gone
from gateway.rest.ranges import Part, part_of
from gateway.rest.shelf import ShelvedFile
from kit.rpc.calls import held
from kit.telemetry import logs

NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"

_ENDINGS = {"audio/ogg": "opus", "audio/flac": "flac", "audio/mpeg": "mp3"}

log = logs.get()


class MessageStream:
    """An ASGI response that forwards a call's messages until either side ends it.

    Args:
        call: the call; it is cancelled when the response ends for whatever reason.
        first: its first message, read before the response began so that a refusal still has an HTTP status.
        media_type: NDJSON or EVENT_STREAM.
        value_of: JSON value of a message.
        room: who answers, for error lines.
        draining: ends the stream when set; clients connect again with their cursor.
    """

    def __init__(
        self,
        call: "grpc.aio.UnaryStreamCall[Any, Any]",
        first: Message | None,
        media_type: str,
        value_of: Callable[[Message], Any],
        *,
        room: str,
        draining: asyncio.Event,
    ) -> None:
        self._call = call
        self._first = first
        self._media_type = media_type
        self._value_of = value_of
        self._room = room
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", self._media_type.encode()), (b"cache-control", b"no-store")]
        # Proxies such as nginx would otherwise hold events back until a buffer is full.
        headers.append((b"x-accel-buffering", b"no"))
        with held(self._call):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            with suppress(ClientGone):
                await or_gone(receive, self._forward(send))
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _forward(self, send: Send) -> None:
        drained = asyncio.create_task(self._draining.wait(), name="rest.stream.drain")
        pumped = asyncio.create_task(self._pump(send), name="rest.stream.pump")
        try:
            await asyncio.wait({drained, pumped}, return_when=asyncio.FIRST_COMPLETED)
            if pumped.done():
                pumped.result()
        finally:
            drained.cancel()
            pumped.cancel()

    async def _pump(self, send: Send) -> None:
        async for line in self._lines():
            await send({"type": "http.response.body", "body": line, "more_body": True})

    async def _lines(self) -> AsyncIterator[bytes]:
        events = self._media_type == EVENT_STREAM
        message: Any = self._first
        try:
            while message is not None and message is not grpc.aio.EOF:
                value = orjson.dumps(self._value_of(message))
                yield b"data: " + value + b"\n\n" if events else value + b"\n"
                message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            document = problem.of_call(error, self._room).document()
            if events:
                yield b"event: error\ndata: " + orjson.dumps(document) + b"\n\n"
            else:
                yield orjson.dumps({"error": document}) + b"\n"


class FileStream:
    """An ASGI response that sends the pieces of a file as they come.

    A failure in the middle breaks the connection off, so that nobody takes a part for the whole.

    Args:
        call: the call; it is cancelled when the response ends for whatever reason.
        first: its first piece, which tells the content type.
        piece_of: the HttpBody of a message.
        name: of the file, without its ending.
        room: who answers, for the log.
    """

    def __init__(
        self,
        call: "grpc.aio.UnaryStreamCall[Any, Any]",
        first: Message | None,
        piece_of: Callable[[Message], HttpBody],
        *,
        name: str,
        room: str,
    ) -> None:
        self._call = call
        self._first = first
        self._piece_of = piece_of
        self._name = name
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content_type = self._piece_of(self._first).content_type if self._first is not None else ""
        headers = [*_file_headers(content_type, self._name), (b"accept-ranges", b"bytes")]
        with held(self._call):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            with suppress(ClientGone):
                if await or_gone(receive, self._pump(send)):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> bool:
        """Send the file; returns whether it is whole."""
        message: Any = self._first
        try:
            while message is not None and message is not grpc.aio.EOF:
                await send({"type": "http.response.body", "body": self._piece_of(message).data, "more_body": True})
                message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            log.warning("file_broken_off", room=self._room, code=error.code().name)
            return False
        return True


class FilePart:
    """An ASGI response that sends a part of a whole file, or all of it.

    Args:
        file: the file.
        asked: the Range header.
        condition: the If-Range header; a part is only sent of the file that it names.
        name: of the file, without its ending.

    Raises:
        RangeNotSatisfiable: the file has no such bytes.
    """

    def __init__(self, file: ShelvedFile, asked: str, condition: str, *, name: str) -> None:
        self._file = file
        self._part = part_of(asked, file.size) if condition in ("", file.etag) else None
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        part = self._part or Part(0, self._file.size - 1)
        headers = [
            *_file_headers(self._file.content_type, self._name),
            (b"accept-ranges", b"bytes"),
            (b"content-length", str(part.size).encode()),
            (b"etag", self._file.etag.encode()),
        ]
        if self._part is not None:
            headers.append((b"content-range", f"bytes {part.first}-{part.last}/{self._file.size}".encode()))
        with self._file.held():
            await send({"type": "http.response.start", "status": 206 if self._part else 200, "headers": headers})
            with suppress(ClientGone):
                await or_gone(receive, self._pump(part, send))
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, part: Part, send: Send) -> None:
        async for piece in self._file.pieces(part.first, part.last):
            await send({"type": "http.response.body", "body": piece, "more_body": True})


def _file_headers(content_type: str, name: str) -> list[tuple[bytes, bytes]]:
    ending = _ENDINGS.get(content_type.partition(";")[0], "bin")
    return [
        (b"content-type", (content_type or "application/octet-stream").encode()),
        (b"content-disposition", f'attachment; filename="{name}.{ending}"'.encode()),
        (b"cache-control", b"no-store"),
    ]
