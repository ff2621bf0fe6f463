"""Watchers: one per replica of a room, always trying to hear it."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc

from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from gateway.console.board import Board
from gateway.console.errors import why_away
from gateway.console.replicas import Replica, Replicas
from kit.auth.outgoing import Credential
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from kit.telemetry import logs

_SILENCE_SECONDS = 5.0  # rooms send a snapshot every second
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0

log = logs.get()


@asynccontextmanager
async def open_watchers(
    board: Board, replicas: Replicas, own: Mapping[str, grpc.aio.Channel], *, key: Credential | None
) -> AsyncIterator[None]:
    """Watch every replica for the block and keep the board up to date.

    Args:
        board: what they tell goes here.
        replicas: who is there.
        own: channels to what has none, by name: this process itself.
        key: shown to them.
    """
    async with asyncio.TaskGroup() as tasks:
        watching = [
            tasks.create_task(_watch(board, room, OpsServiceStub(channel)), name=f"console.watch.{room}")
            for room, channel in own.items()
        ]
        watching.append(tasks.create_task(_attend(board, replicas, key), name="console.attend"))
        try:
            yield
        finally:
            for task in watching:
                task.cancel()


async def _attend(board: Board, replicas: Replicas, key: Credential | None) -> None:
    """Watch who is there now, and forget who is not any more."""
    watching: dict[Replica, asyncio.Task[None]] = {}
    try:
        while True:
            known = set(replicas.known.values())
            gone = watching.keys() - known
            for replica in gone:
                watching[replica].cancel()
            await asyncio.gather(*(watching.pop(replica) for replica in gone), return_exceptions=True)
            for name in {replica.name for replica in gone} - {replica.name for replica in known}:
                board.forget(name)
            for replica in known - watching.keys():
                board.away(replica.name, "not reached yet")
                watching[replica] = asyncio.create_task(
                    _watch_replica(board, replica, key), name=f"console.watch.{replica.name}"
                )
            changed = asyncio.create_task(replicas.changed(), name="console.replicas_changed")
            try:
                done, _ = await asyncio.wait({changed, *watching.values()}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            for task in done - {changed}:
                task.result()  # a watcher never ends by itself
    finally:
        for task in watching.values():
            task.cancel()
        await asyncio.gather(*watching.values(), return_exceptions=True)


async def _watch_replica(board: Board, replica: Replica, key: Credential | None) -> None:
    async with open_channel(replica.target, api_key=key, tls=replica.tls()) as channel:
        await _watch(board, replica.name, OpsServiceStub(channel))


async def _watch(board: Board, room: str, stub: Any) -> None:
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            async for snapshot in _snapshots(stub):
                board.accept(room, snapshot)
                pause_seconds = _FIRST_PAUSE_SECONDS
            error = "the room ended the stream"
        except grpc.aio.AioRpcError as failure:
            error = why_away(failure)
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
