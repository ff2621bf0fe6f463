"""Watchers: one per room, always trying to hear it."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc

from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from gateway.console.board import Board
from kit.rpc.calls import held
from kit.telemetry import logs

_SILENCE_SECONDS = 5.0  # rooms send a snapshot every second
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_MAX_ERROR_CHARACTERS = 200

log = logs.get()


@asynccontextmanager
async def open_watchers(board: Board, channels: Mapping[str, grpc.aio.Channel]) -> AsyncIterator[None]:
    """Watch every room for the block and keep the board up to date."""
    async with asyncio.TaskGroup() as tasks:
        watching = [
            tasks.create_task(_watch(board, room, OpsServiceStub(channel)), name=f"console.watch.{room}")
            for room, channel in channels.items()
        ]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()


async def _watch(board: Board, room: str, stub: Any) -> None:
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            async for snapshot in _snapshots(stub):
                board.accept(room, snapshot)
                pause_seconds = _FIRST_PAUSE_SECONDS
            error = "the room ended the stream"
        except grpc.aio.AioRpcError as failure:
            error = _sentence(failure)
        except TimeoutError:
            error = f"silent for {_SILENCE_SECONDS:g} s"
        board.away(room, error)
        log.debug("console_room_away", watched=room, error=error)
        await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects, guards nothing
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


async def _snapshots(stub: Any) -> AsyncIterator[ops.WatchResponse]:
    call = stub.Watch(ops.WatchRequest())
    with held(call):
        while True:
            async with asyncio.timeout(_SILENCE_SECONDS):
                snapshot = await call.read()
            if snapshot is grpc.aio.EOF:
                return
            yield snapshot


def _sentence(failure: grpc.aio.AioRpcError) -> str:
    if failure.code() is grpc.StatusCode.UNAVAILABLE:
        return "cannot be reached"
    return f"{failure.code().name}: {failure.details() or ''}"[:_MAX_ERROR_CHARACTERS]
