"""The transcoder: HTTP requests to RPCs and back, by the contract's bindings alone."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import grpc
import orjson
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import credentials
from gateway.errors import ClientGone, MediaTypeUnsupported, MethodNotAllowed, RouteNotFound
from gateway.rest import contract, problem
from gateway.rest.binding import Binding
from gateway.rest.decoder import fill, parse_body
from gateway.rest.encoder import to_json_value
from gateway.rest.exchange import deadline_seconds, or_gone, read_body
from gateway.rest.stream import EVENT_STREAM, NDJSON, FileStream, MessageStream
from kit.errors import AppError, InvalidArgument
from kit.rpc.calls import held
from kit.rpc.edge import REQUEST_ID

JSON = "application/json"

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
    """

    def __init__(
        self,
        bindings: Iterable[Binding],
        channels: Mapping[str, grpc.aio.Channel],
        *,
        limits: TranscoderLimits,
        draining: asyncio.Event,
    ) -> None:
        self._routes = [_Route(binding, channels) for binding in bindings]
        self._limits = limits
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 4404, "reason": "no such path"})
            return
        try:
            response = await self._answer(Request(scope, receive))
        except ClientGone:
            return  # nobody is there to be answered
        except AppError as error:
            response = problem.of_error(error).response()
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        route, values = self._find(request)
        message = await self._message(route.binding, values, request)
        metadata = credentials.from_headers(
            request.headers, request_id=request.scope.get("state", {}).get(REQUEST_ID, "")
        )
        try:
            if route.binding.streams:
                return await self._stream(route, message, values, metadata, request)
            timeout = deadline_seconds(request, limit_seconds=self._limits.timeout_seconds)
            call = route.call(message, metadata=metadata, timeout=timeout)
            with held(call):
                return route.response(await or_gone(request.receive, call))
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

    def _find(self, request: Request) -> tuple["_Route", dict[str, str]]:
        path = request.scope.get("raw_path", b"").decode("ascii", "replace") or request.scope["path"]
        allowed: list[str] = []
        for route in self._routes:
            values = route.binding.template.match(path)
            if values is None:
                continue
            if route.binding.verb == request.method:
                return route, values
            allowed.append(route.binding.verb)
        if allowed:
            raise MethodNotAllowed(tuple(sorted(set(allowed))))
        raise RouteNotFound

    async def _message(self, binding: Binding, values: Mapping[str, str], request: Request) -> Message:
        message = binding.request_class()
        query = {name: request.query_params.getlist(name) for name in request.query_params}
        if duplicated := query.keys() & values.keys():
            raise InvalidArgument("stands in the path already", field=sorted(duplicated)[0])
        if binding.body:
            media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
            raw_field = contract.RAW_BODIES.get(binding.method.full_name)
            raw = raw_field is not None and any(fnmatchcase(media_type, kind) for kind in contract.RAW_MEDIA_TYPES)
            if not raw and media_type != JSON:
                raise MediaTypeUnsupported(f"send {JSON}", got=media_type[:64])
            body = await read_body(request, max_bytes=self._limits.max_body_bytes)
            if raw and raw_field is not None:
                setattr(message, raw_field, body)
                fill(message, query)
            else:
                parse_body(body, message if binding.body == "*" else _inner(message, binding.body))
                if query and not binding.query_fields:
                    raise InvalidArgument("the body holds every field", field=min(query))
        else:
            await read_body(request, max_bytes=self._limits.max_body_bytes)
        if binding.query_fields:
            fill(message, query)
        fill(message, {field: [value] for field, value in values.items()})
        return message


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

    def response(self, message: Message) -> Response:
        """Return the HTTP response for a message; an HttpBody is sent as it is."""
        headers = {"cache-control": "no-store"}
        body = self.body(message)
        if isinstance(body, HttpBody):
            # As a header: a media type given to the response would get a charset that the room did not name.
            return Response(
                body.data, 200, {**headers, "content-type": body.content_type or "application/octet-stream"}
            )
        return Response(orjson.dumps(self.value_of(message)), 200, headers, JSON)

    def body(self, message: Message) -> Any:
        """Return what of a message becomes the answer's body."""
        return getattr(message, self.binding.response_body) if self.binding.response_body else message


def _file_name(values: Mapping[str, str]) -> str:
    """Return a name made of what the path names, with nothing in it that means something to anybody."""
    return _UNSAFE.sub("_", "-".join(values.values()))[:128] or "file"


def _inner(message: Message, field: str) -> Message:
    inner: Message = getattr(message, field)
    inner.SetInParent()
    return inner
