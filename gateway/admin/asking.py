"""Asking rooms for an administrator: with the administrator's own credentials, all rooms at once, each for a while."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from gateway import credentials
from kit.errors import Unavailable

_ASK_SECONDS = 6.0  # more than a room gives its own checks
_SHARE = 0.8  # of the caller's time; the rest is for the answer
_MAX_ERROR_CHARACTERS = 200

T = TypeVar("T")

Ask = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What one room said; `error` is why it said nothing."""

    room: str
    response: T | None = None
    error: str = ""
    unimplemented: bool = False


class Rooms:
    """Every room's OpsService.

    Args:
        channels: by room, without credentials of our own: each room decides by the caller's.
    """

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._stubs: dict[str, Any] = {room: OpsServiceStub(channel) for room, channel in channels.items()}

    async def ask_all(self, rpc: str, request: Any, context: Any) -> list[Answer[Any]]:
        """Ask every room; the answers are in the order of the rooms, and one that fails says so."""
        metadata, seconds = credentials.passed_on(context), _seconds(context)
        return await asyncio.gather(
            *(_ask(room, getattr(stub, rpc), request, metadata, seconds) for room, stub in self._stubs.items())
        )

    async def first(self, rpc: str, request: Any, context: Any, *, passing: frozenset[grpc.StatusCode]) -> Any:
        """Return the answer of the first room that does not end with one of `passing`.

        Raises:
            Unavailable: no room answered, and one that might have cannot be reached.
            grpc.aio.AioRpcError: a room refused with another status, or every room with one of `passing`.
        """
        metadata, seconds = credentials.passed_on(context), _seconds(context)
        away, refused = "", None
        for room, stub in self._stubs.items():
            try:
                return await getattr(stub, rpc)(request, metadata=metadata, timeout=seconds)
            except grpc.aio.AioRpcError as error:
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    away = away or room
                elif error.code() in passing:
                    refused = error
                else:
                    raise
        if away or refused is None:
            raise Unavailable(f"{away} cannot be reached now", dependency=away, retry_after_seconds=1.0)
        raise refused


async def _ask(room: str, call: Ask, request: Any, metadata: credentials.Metadata, seconds: float) -> Answer[Any]:
    try:
        return Answer(room, await call(request, metadata=metadata, timeout=seconds))
    except grpc.aio.AioRpcError as error:
        return Answer(room, error=_sentence(room, error), unimplemented=error.code() is grpc.StatusCode.UNIMPLEMENTED)


def _sentence(room: str, error: grpc.aio.AioRpcError) -> str:
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return f"{room} cannot be reached now"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{room} did not answer in time"
    return f"{error.code().name}: {error.details() or ''}"[:_MAX_ERROR_CHARACTERS]


def _seconds(context: Any) -> float:
    remaining: float | None = context.time_remaining()
    return _ASK_SECONDS if remaining is None else min(_ASK_SECONDS, remaining * _SHARE)
