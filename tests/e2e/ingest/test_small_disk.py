"""A disk that gets full while somebody speaks: what is acknowledged stays, nobody new is taken, and then it goes on."""

import asyncio
import os
import signal
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.ingest.v1 import audio_service_pb2 as pb
from agent.ops.v1 import ops_service_pb2 as ops
from kit.rpc.client import open_channel
from tests.chaos.disk import Disk, open_disk
from tests.e2e.rooms.process import SERVICE_KEY, USER_KEY, RoomProcess, room_process
from tests.fakes.stt_server import Speech, serving_speech
from tests.integration.ingest.running import (
    SECONDS,
    Script,
    Stubs,
    connected,
    finished,
    heard,
    refused,
    segments,
    spoken,
    start_meeting,
    stubs,
    talk,
)
from tests.integration.ingest.test_survival import free_port
from tests.integration.ingest.test_warnings import Watch
from tests.kit_server import eventually
from tests.postgres import fresh_url

DISK_MEBIBYTES = 24
MIN_FREE_MEBIBYTES = 4
WINDOW = 16
FRAME = 16_000
"""Samples of a message: nearly as many bytes as one may have."""


@dataclass
class Place:
    """Where rooms are started: a database, a recogniser, and journals with a small disk to themselves."""

    url: str
    data: Path
    disk: Disk
    stt_port: int


@asynccontextmanager
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Open one for the block; skips the test where no disk can be mounted."""
    data = tmp_path / "data"
    with open_disk(data / "journals", DISK_MEBIBYTES) as disk:
        if not disk.small:
            pytest.skip("only root may mount the small disk that this test fills")
        with fresh_url() as url:
            async with serving_speech(Speech()) as stt_port:
                yield Place(url, data, disk, stt_port)


@dataclass
class Recorder:
    """The room as a process."""

    process: RoomProcess
    user: Stubs
    service: Stubs
    metrics_port: int

    def metric(self, name: str) -> float:
        """Return what Prometheus would read."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    async def disk_is_fine(self) -> bool:
        """Return what the room's readiness says of the disk."""
        answer = await self.service.ops.GetReadiness(ops.GetReadinessRequest(), timeout=SECONDS)
        return next(bool(check.ok) for check in answer.checks if check.name == "journal disk")


@asynccontextmanager
async def recorder(where: Place) -> AsyncIterator[Recorder]:
    """Run the room for the block."""
    metrics_port = free_port()
    variables = {
        "DATABASE_URL": where.url,
        "AGENT_DATA_DIR": str(where.data),
        "STT_TARGET": f"127.0.0.1:{where.stt_port}",
        "INGEST_METRICS_LISTEN": f"127.0.0.1:{metrics_port}",
        "INGEST_MIN_FREE_MB": str(MIN_FREE_MEBIBYTES),
        "INGEST_COMMIT_INTERVAL_SECONDS": "0.02",
        "INGEST_COVERAGE_INTERVAL_SECONDS": "0.2",
        "INGEST_WINDOW": str(WINDOW),
        "READINESS_INTERVAL_SECONDS": "0.2",
    }
    async with (
        room_process("ingest", **variables) as process,
        open_channel(process.address, api_key=USER_KEY) as user,
        open_channel(process.address, api_key=SERVICE_KEY) as service,
    ):
        yield Recorder(process, stubs(user), stubs(service), metrics_port)


def speech() -> Script:
    """Return two minutes of one person, 4 MB in messages of a second."""
    script = Script()
    script.track(1, "anna")
    words = talk(160, seed=5)
    for start in range(0, len(words), FRAME):
        script.frame(1, words[start : start + FRAME])
    script.leave(1)
    script.end()
    return script


class Client:
    """A connection that sends all it may, and notes what it was promised."""

    def __init__(self, call: Any, requests: list[pb.StreamAudioRequest]) -> None:
        self.sent = 0
        self.durable = 0
        self.warnings: set[str] = set()
        self._call = call
        self._requests = requests

    async def run(self) -> None:
        """Send and listen until everything is durable."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._send())

    async def _send(self) -> None:
        for request in self._requests:
            # As a client does that keeps the contract.
            await eventually(partial(self._may_send, request.sequence), seconds=2 * SECONDS)
            await self._call.write(request)
            self.sent = request.sequence

    def _may_send(self, sequence: int) -> bool:
        return sequence <= self.durable + WINDOW

    async def _listen(self) -> None:
        while self.durable < self._requests[-1].sequence:
            response = await self._call.read()
            if response is grpc.aio.EOF:
                return
            self.durable = max(self.durable, response.durable.sequence)
            self.warnings |= {response.status.warning} - {""}


async def test_a_full_disk_refuses_the_new_keeps_the_running_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    async with place(tmp_path) as where, recorder(where) as room:
        meeting_id, other_id = await start_meeting(room.user), await start_meeting(room.user)
        assert await room.disk_is_fine()
        script = speech()
        half = script.requests[: len(script.requests) // 2]
        async with (
            Watch(room.user, meeting_id) as watch,
            connected(room.user, meeting_id, "s") as (call, opened),
        ):
            assert opened.window == WINDOW
            client = Client(call, half)
            await client.run()
            promised = client.durable
            where.disk.fill()
            client = Client(call, script.requests[len(half) :])
            client.durable = promised
            going_on = asyncio.create_task(client.run())
            await eventually(lambda: client.sent >= promised + WINDOW, seconds=SECONDS)

            await eventually(watch.told("journal_disk_full", cleared=False), seconds=SECONDS)
            problem = await refused(opening(room.user, other_id))
            assert (problem.code, problem.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_DISK_FULL")
            assert not await room.disk_is_fine()
            free, least = (room.metric(f"agent_ingest_journal_disk_{name}_bytes") for name in ("free", "min_free"))
            assert free < least == MIN_FREE_MEBIBYTES * 1024 * 1024
            await eventually(
                lambda: room.metric('agent_ingest_warnings{kind="journal_disk_full"}') == 1, seconds=SECONDS
            )
            assert client.durable == promised, "nothing that is not on disk is acknowledged"
            assert client.sent == promised + WINDOW, "the client was to wait"

            where.disk.free()
            await eventually(watch.told("journal_disk_full", cleared=True), seconds=SECONDS)
            async with asyncio.timeout(SECONDS):
                await going_on
        await finished(room.user, meeting_id)
        assert heard(await segments(room.user, meeting_id)) == spoken(script)
        async with connected(room.user, other_id, "s") as (_, answer):
            assert answer.next_sequence == 1


async def opening(client: Stubs, meeting_id: str) -> None:
    async with connected(client, meeting_id, "s"):
        pass


async def test_what_was_acknowledged_before_the_disk_was_full_survives_a_kill(tmp_path: Path) -> None:
    async with place(tmp_path) as where:
        script = speech()
        some = script.requests[:40]
        async with recorder(where) as room:
            meeting_id = await start_meeting(room.user)
            async with (
                Watch(room.user, meeting_id) as watch,
                connected(room.user, meeting_id, "s") as (call, _),
            ):
                client = Client(call, some)
                await client.run()
                promised = client.durable
                where.disk.fill()
                for request in script.requests[40:50]:
                    await call.write(request)
                await eventually(watch.told("journal_disk_full", cleared=False), seconds=SECONDS)
                os.kill(room.process.pid, signal.SIGKILL)
                await room.process.ended()
        where.disk.free()
        async with recorder(where) as room:
            async with connected(room.user, meeting_id, "s", epoch=2) as (call, opened):
                assert opened.next_sequence >= promised + 1
                client = Client(call, script.requests[opened.next_sequence - 1 :])
                client.durable = opened.next_sequence - 1
                await client.run()
            await finished(room.user, meeting_id)
            assert heard(await segments(room.user, meeting_id)) == spoken(script)
