"""The edge of a room: the one interceptor that every RPC passes on its way in and out.

In: trace ids, caller, access. Out: errors as statuses (a bug reads "internal error" outside), metrics, a log line.
Handlers may be coroutines, async generators or coroutines that use `context.read()` and `context.write()`.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import Any, NoReturn

import grpc
from grpc_interceptor.server import AsyncServerInterceptor
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.trace import StatusCode as SpanStatus
from structlog.contextvars import bind_contextvars

from kit.auth.gate import Gate
from kit.auth.principal import Principal, set_principal
from kit.db import tenancy
from kit.errors import AppError, DeadlineExceeded, Unavailable, Unimplemented
from kit.ids import new_id
from kit.rpc import status
from kit.rpc.context import Metadata, Requests, RpcContext
from kit.rpc.counters import RpcCounters
from kit.rpc.decoding import careful
from kit.rpc.scope import RpcScope, enter_scope
from kit.telemetry import logs, trace_context, traces
from kit.telemetry.trace_context import TraceContext

REQUEST_ID = "x-request-id"

Behaviour = Callable[[Any, Any], Any]

_MAX_REQUEST_ID_CHARACTERS = 128
# Statuses of a call made while serving that mean the same to our caller. The others (our own key is not accepted,
# say) are our fault and stay inside.
_PASSED_ON = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)

log = logs.get()


class Edge(AsyncServerInterceptor):
    """The one interceptor of a server; it calls the handlers itself, whatever their style."""

    def __init__(self, room: str, gate: Gate, tracer: Tracer) -> None:
        self._room = room
        self._gate = gate
        self._tracer = tracer
        self._ways: dict[str, _Way] = {}
        self.open_rpcs = 0

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Find the handler of an RPC; its messages are read by us."""

        async def found(details: Any) -> Any:
            handler = await continuation(details)
            if not handler or handler.request_deserializer is None:
                return handler
            read = careful(handler.request_deserializer, streams=handler.request_streaming)
            return handler._replace(request_deserializer=read)

        return await super().intercept_service(found, handler_call_details)  # type: ignore[no-untyped-call]

    async def intercept(
        self,
        method: Behaviour,
        request_or_iterator: Any,
        context: "grpc.aio.ServicerContext[Any, Any]",
        method_name: str,
    ) -> Any:
        """Serve one RPC; called by the library, which has told the four kinds of handler apart."""
        way = self._ways.get(method_name)
        if way is None:
            way = self._ways[method_name] = _Way(runner(method_name, method), RpcCounters(self._room, method_name))
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        span = traces.begin(
            method_name.lstrip("/"), kind=SpanKind.SERVER, parent=TraceContext.parse(metadata), tracer=self._tracer
        )
        scope = RpcScope(method_name, _request_id(metadata), context.time_remaining())
        enter_scope(scope)
        bind_contextvars(request_id=scope.request_id)
        streams = hasattr(request_or_iterator, "__aiter__")
        ours = RpcContext(context, way.counters, _trailing(scope), client_writes=streams)
        request = Requests(request_or_iterator, way.counters) if streams else request_or_iterator
        way.counters.start()
        self.open_rpcs += 1
        started = monotonic()
        code = grpc.StatusCode.OK
        try:
            _work_for(await self._gate.admit(method_name, metadata))
            if isinstance(request, AppError):
                raise request  # it could not be read
            response = await way.run(request, ours)
            code = _code_set(context)
            return response
        except Exception as error:  # the edge: whatever is left becomes a status here
            cause = _cause(error)
            if isinstance(cause, grpc.aio.AbortError):
                code = _code_set(context)
                raise cause from None
            answer = _answer(method_name, cause, error)
            code = status.code_of(answer)
            await status.abort_with(ours, answer)
        except BaseException:
            remaining = context.time_remaining()
            late = remaining is not None and remaining <= 0  # type: ignore[redundant-expr]  # it is None without deadline
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        finally:
            scope.end()
            self.open_rpcs -= 1
            seconds = monotonic() - started
            way.counters.finish(code.name, seconds)
            _end_span(span, code)
            log.debug("rpc_handled", rpc=method_name, code=code.name, seconds=round(seconds, 6))


@dataclass(frozen=True, slots=True)
class _Way:
    """How one method is served."""

    run: Callable[[Any, Any], Awaitable[Any]]
    counters: RpcCounters


def runner(path: str, behaviour: Behaviour) -> Callable[[Any, Any], Awaitable[Any]]:
    """Return a coroutine function that runs a handler of any style.

    A method that the servicer does not override answers UNIMPLEMENTED.

    Raises:
        TypeError: the handler is an ordinary function; it would block the loop's thread pool unseen.
    """
    if inspect.isasyncgenfunction(behaviour):

        async def generate(request: Any, context: RpcContext) -> None:
            async with aclosing(behaviour(request, context)) as responses:
                async for response in responses:
                    await context.write(response)

        return generate
    if inspect.iscoroutinefunction(behaviour):
        return behaviour
    if getattr(behaviour, "__module__", "").endswith("_pb2_grpc"):
        name = path.rpartition("/")[2]

        async def refuse(request: Any, context: RpcContext) -> NoReturn:
            raise Unimplemented(rpc=name)

        return refuse
    raise TypeError(f"{path} is served by an ordinary function; make it `async def`")


def _answer(path: str, cause: BaseException, error: Exception) -> status.Status:
    if isinstance(cause, AppError):
        # A room that does not have something is asked for it every few seconds by whoever asks every room.
        tell = log.debug if cause.code is grpc.StatusCode.UNIMPLEMENTED else log.info
        tell("rpc_refused", rpc=path, code=cause.code.name, reason=cause.reason)
        return status.to_status(cause)
    if isinstance(cause, grpc.aio.AioRpcError):
        code = cause.code()
        log.warning("rpc_dependency_failed", rpc=path, code=code.name, details=cause.details())
        if code in _PASSED_ON:
            theirs = status.status_of(cause)
            if theirs is not None:
                return theirs
            if code is grpc.StatusCode.UNAVAILABLE:
                return status.to_status(Unavailable("a room that the call needs cannot be reached now"))
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return status.to_status(DeadlineExceeded("a room that the call needs took too long"))
        return status.internal_status()
    if isinstance(cause, asyncio.InvalidStateError):  # gRPC's answer to a write on a call that is over
        log.warning("rpc_dependency_failed", rpc=path, code="UNKNOWN", details="written to a call that had ended")
        return status.to_status(Unavailable("a room that the call needs cannot be reached now"))
    if _peer_is_gone(cause):
        log.debug("rpc_peer_gone", rpc=path)
        return status.plain_status(grpc.StatusCode.CANCELLED, "the peer is gone")
    log.error("rpc_failed", rpc=path, exc_info=error)
    return status.internal_status()


def _cause(error: BaseException) -> BaseException:
    """Return what decides the answer: of a group (a handler's TaskGroup), a sent status first, then an AppError."""
    leaves = list(_leaves(error))
    for kind in (grpc.aio.AbortError, AppError, grpc.aio.AioRpcError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _peer_is_gone(error: BaseException) -> bool:
    """Whether a read or write failed because the call is over on the other side."""
    return isinstance(error, grpc.aio.InternalError)


def _work_for(caller: Principal) -> None:
    set_principal(caller)
    if caller.via != "public":  # strangers are nobody's
        tenancy.enter(caller.tenant_id)


def _code_set(inner: "grpc.aio.ServicerContext[Any, Any]") -> grpc.StatusCode:
    code: Any = inner.code()  # gRPC holds a number until someone sets a StatusCode
    return code if isinstance(code, grpc.StatusCode) else _CODES.get(code, grpc.StatusCode.OK)


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _request_id(metadata: Mapping[str, str]) -> str:
    given = metadata.get(REQUEST_ID, "")
    return given if 0 < len(given) <= _MAX_REQUEST_ID_CHARACTERS else new_id()


def _trailing(scope: RpcScope) -> Metadata:
    position = trace_context.current()
    trace_id = position.trace_id if position else ""
    return ((trace_context.TRACE_ID, trace_id), (REQUEST_ID, scope.request_id))


def _end_span(span: Span, code: grpc.StatusCode) -> None:
    span.set_attribute("rpc.system", "grpc")
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code is not grpc.StatusCode.OK:
        span.set_status(SpanStatus.ERROR, code.name)
    span.end()
