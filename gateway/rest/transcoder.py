"""The transcoder: HTTP requests to RPCs and back, by the contract's bindings alone."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import orjson
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import credentials
from gateway.errors import ClientGone, MethodNotAllowed, RouteNotFound
from gateway.headers import headers_of
from gateway.rest import contract, problem
from gateway.rest.binding import Binding
from gateway.rest.encoder import to_json_value
from gateway.rest.exchange import ROUTE, answer_head, deadline_seconds, or_gone
from gateway.rest.foreign_pages import NO_FOREIGN_PAGES, ForeignPages
from gateway.rest.json_answer import JsonAnswer
from gateway.rest.reading import read_message
from gateway.rest.routes import RouteTable
from gateway.rest.shelf import Shelf
from gateway.rest.stream import EVENT_STREAM, NDJSON, FilePart, FileStream, MessageStream
from kit.errors import AppError
from kit.rpc.calls import held
from kit.rpc.edge import REQUEST_ID

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class TranscoderLimits:
    """What one request may cost."""

    timeout_seconds: float = 30.0
    max_body_bytes: int = 12 * 1024 * 1024


class Transcoder:
    """An ASGI application that serves every route of the contract.

    Args:
        bindings: the routes, the most specific first.
        channels: a channel per room, without credentials of our own.
        draining: ends open streams when set.
        foreign_pages: says which pages from elsewhere may call.
        shelf: where files are whole, for requests for a part; one with the usual limits if None.
    """

    def __init__(
        self,
        bindings: Iterable[Binding],
        channels: Mapping[str, grpc.aio.Channel],
        *,
        limits: TranscoderLimits,
        draining: asyncio.Event,
        foreign_pages: ForeignPages = NO_FOREIGN_PAGES,
        shelf: Shelf | None = None,
    ) -> None:
        self._routes = RouteTable([(binding.template, _Route(binding, channels)) for binding in bindings])
        self._limits = limits
        self._draining = draining
        self._foreign_pages = foreign_pages
        self._shelf = shelf or Shelf()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 4404, "reason": "no such path"})
            return
        request = Request(scope, receive)
        send = self._foreign_pages.admitting(request, send)
        try:
            response = await self._answer(request)
        except ClientGone:
            return  # nobody is there to be answered
        except AppError as error:
            response = problem.of_error(error).response()
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        if request.method == "OPTIONS":
            return self._foreign_pages.options(request, [route.binding for route, _ in self._at(request)])
        route, values = self._find(request)
        request.scope[ROUTE] = route.binding.template.openapi
        message = await read_message(
            route.binding,
            values,
            request,
            max_bytes=self._limits.max_body_bytes,
            timeout_seconds=self._limits.timeout_seconds,
        )
        metadata = credentials.from_headers(
            headers_of(request.scope), request_id=request.scope.get("state", {}).get(REQUEST_ID, "")
        )
        try:
            if route.binding.streams:
                return await self._stream(route, message, values, metadata, request)
            timeout = deadline_seconds(request, limit_seconds=self._limits.timeout_seconds)
            call = route.call(message, metadata=metadata, timeout=timeout)
            with held(call):
                message = await or_gone(request.receive, call)
                return route.response(message, *answer_head(await call.initial_metadata()))
        except grpc.aio.AioRpcError as error:
            return problem.of_call(error, route.room).response()

    async def _stream(
        self,
        route: "_Route",
        message: Message,
        values: Mapping[str, str],
        metadata: credentials.Metadata,
        request: Request,
    ) -> ASGIApp:
        call = route.call(message, metadata=metadata)
        try:
            first = await or_gone(request.receive, call.read())
        except BaseException:
            call.cancel()
            raise
        if first is grpc.aio.EOF:
            first = None
        if route.binding.sends_file and first is not None and "range" in headers_of(request.scope):
            with held(call):
                return await self._part(route, message, values, request, first, call)
        if route.binding.sends_file:
            return FileStream(call, first, route.body, name=_file_name(values), room=route.room)
        return MessageStream(
            call,
            first,
            EVENT_STREAM if EVENT_STREAM in request.headers.get("accept", "") else NDJSON,
            route.value_of,
            room=route.room,
            draining=self._draining,
        )

    async def _part(
        self,
        route: "_Route",
        message: Message,
        values: Mapping[str, str],
        request: Request,
        first: Message,
        call: Any,
    ) -> ASGIApp:
        key = route.binding.rpc.encode() + b"\n" + message.SerializeToString(deterministic=True)
        getting = self._shelf.get(key, route.body(first).content_type, _pieces(route, first, call))
        file = await or_gone(request.receive, getting)
        asked, condition = request.headers["range"], request.headers.get("if-range", "")
        return FilePart(file, asked, condition, name=_file_name(values))

    def _find(self, request: Request) -> tuple["_Route", dict[str, str]]:
        verbs = set()
        for route, values in self._at(request):
            if route.binding.verb == request.method:
                return route, values
            verbs.add(route.binding.verb)
        if verbs:
            raise MethodNotAllowed(tuple(sorted(verbs)))
        raise RouteNotFound

    def _at(self, request: Request) -> Iterator[tuple["_Route", dict[str, str]]]:
        """Return every route at the request's path, whatever its method."""
        path = request.scope.get("raw_path", b"").decode("ascii", "replace") or request.scope["path"]
        return self._routes.at(path)


class _Route:
    """A binding with the call that answers it."""

    def __init__(self, binding: Binding, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self.binding = binding
        self.room = contract.room_of(binding.method.containing_service)
        channel = channels[self.room]
        make = channel.unary_stream if binding.streams else channel.unary_unary
        self.call: Any = make(
            binding.rpc,
            request_serializer=binding.request_class.SerializeToString,
            response_deserializer=binding.response_class.FromString,
        )

    def value_of(self, message: Message) -> Any:
        """Return the JSON value of a response's body."""
        body = self.body(message)
        return to_json_value(body) if isinstance(body, Message) else body

    def response(self, message: Message, code: int, headers: Mapping[str, str]) -> ASGIApp:
        """Return the HTTP response for a message; an HttpBody is sent as it is."""
        headers = {**headers, "cache-control": "no-store"}
        body = self.body(message)
        if isinstance(body, HttpBody):
            # As a header: a media type given to the response would get a charset that the room did not name.
            return Response(
                body.data, code, {**headers, "content-type": body.content_type or "application/octet-stream"}
            )
        return JsonAnswer(code, headers, orjson.dumps(self.value_of(message)))

    def body(self, message: Message) -> Any:
        """Return what of a message becomes the answer's body."""
        return getattr(message, self.binding.response_body) if self.binding.response_body else message


async def _pieces(route: _Route, first: Message, call: Any) -> AsyncIterator[bytes]:
    message: Any = first
    while message is not grpc.aio.EOF:
        yield route.body(message).data
        message = await call.read()


def _file_name(values: Mapping[str, str]) -> str:
    """Return a name made of what the path names, with nothing in it that means something to anybody."""
    return _UNSAFE.sub("_", "-".join(values.values()))[:128] or "file"
