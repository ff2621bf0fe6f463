"""Every RPC of every room asked with hostile messages: refusals, no server errors, no hanging, nobody dies."""

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from kit.telemetry import logs
from tests.contract.fuzz.hostile import Hostile
from tests.contract.fuzz.rooms import Rooms, every_room
from tests.effort import effort
from tests.integration.gateway.scripted import SERVICE, USER

EXAMPLES = 12
"""Calls per RPC in the loop, the same ones in every run."""
_ANSWER_SECONDS = 20.0
_LISTEN_SECONDS = 0.2
_AT_ONCE = 8
_WRONG = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
_OUR_OWN = "Internal error from Core"
"""What gRPC's Python client makes of a refusal that comes while it writes (grpc#36066)."""


def _same(data: bytes) -> bytes:
    return data


class Attack:
    """Calls to one room, and what came of them."""

    def __init__(self, rooms: Rooms, seed: int) -> None:
        self.rooms = rooms
        self.seed = seed
        self.wrong: list[str] = []
        self.codes: Counter[str] = Counter()

    async def on(self, room: str, method: MethodDescriptor) -> None:
        """Ask one RPC many times over one channel."""
        name = f"{method.containing_service.full_name}/{method.name}"
        hostile = Hostile(f"{self.seed} {room} {name}", self.rooms.known_ids)
        async with grpc.aio.insecure_channel(self.rooms.addresses[room]) as channel:
            for number in range(effort(EXAMPLES).max_examples):
                streams = method.client_streaming
                sent = hostile.stream(method.input_type, 6) if streams else [hostile.request(method.input_type)]
                metadata = tuple((USER if hostile.chance(0.15) else SERVICE).items())
                code, said = await self._call(channel, f"/{name}", method, sent, metadata)
                self.codes[code.name] += 1
                if code in _WRONG and said != _OUR_OWN:
                    self.wrong.append(f"{room}: {name} #{number}: {code.name} {said[:200]} for {sent[0][:300]!r}")

    async def _call(
        self,
        channel: grpc.aio.Channel,
        path: str,
        method: MethodDescriptor,
        sent: list[bytes],
        metadata: tuple[tuple[str, str], ...],
    ) -> tuple[grpc.StatusCode, str]:
        async def requests() -> Any:
            for data in sent:
                yield data

        kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
        make: Any = getattr(channel, kind)(path, request_serializer=_same, response_deserializer=_same)
        call = make(requests() if method.client_streaming else sent[0], metadata=metadata, timeout=_ANSWER_SECONDS)
        try:
            if not method.server_streaming:
                await call
                return grpc.StatusCode.OK, ""
            async with asyncio.timeout(_LISTEN_SECONDS):
                async for _ in call:
                    pass
        except TimeoutError:
            return grpc.StatusCode.OK, ""  # it goes on, as streams do
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self.wrong.append(f"{path}: no answer in {_ANSWER_SECONDS:g} s to {sent[0][:300]!r}")
            return error.code(), str(error.details())
        finally:
            call.cancel()
        return grpc.StatusCode.OK, ""


@pytest.mark.timeout(600)
async def test_no_message_makes_a_server_error(tmp_path: Path):
    logs.configure("fuzz", "critical")
    seed = random.randrange(1 << 32) if os.environ.get("HYPOTHESIS_PROFILE") == "long" else 1
    async with every_room(tmp_path) as rooms:
        attack, free = Attack(rooms, seed), asyncio.Semaphore(_AT_ONCE)

        async def one(room: str, method: MethodDescriptor) -> None:
            async with free:
                await attack.on(room, method)

        doors = rooms.doors()
        async with asyncio.TaskGroup() as tasks:
            for room, method in doors:
                tasks.create_task(one(room, method), name=method.full_name)
        for address in rooms.addresses.values():
            async with grpc.aio.insecure_channel(address) as channel:
                ready = OpsServiceStub(channel).GetReadiness(
                    ops.GetReadinessRequest(), metadata=tuple(SERVICE.items()), timeout=_ANSWER_SECONDS
                )
                await ready
    assert not attack.wrong, f"seed {seed}:\n" + "\n".join(attack.wrong)
    assert len(doors) > 80
    assert attack.codes["OK"] > 100, attack.codes
