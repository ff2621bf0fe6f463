"""A call with a person in it whose connector is killed in the middle: it is back by itself, and the gap is true."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.connector.v1 import connector_service_pb2 as pb
from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceStub
from examples.callers import Caller, open_caller, speech_from_samples
from kit.rpc.client import open_channel
from mesh.mesh import Mesh, open_mesh
from tests.e2e.rooms.process import build_directory
from tests.integration.connector.harness import RATE
from tests.kit_server import eventually

pytestmark = [pytest.mark.realtime, pytest.mark.timeout(240)]

BACK_SECONDS = 20.0
"""What the operator's page promises."""
EXACT_SECONDS = 0.5
LONG = 90.0


def sound(seconds: float) -> NDArray[np.int16]:
    """Make a voice that never pauses: in a pause there are no packets, and nobody could say when it was heard again."""
    time_axis = np.arange(round(seconds * RATE)) / RATE
    hum = sum(np.sin(2 * np.pi * 140 * harmonic * time_axis + harmonic) / harmonic for harmonic in range(1, 18))
    noise = np.random.default_rng(5).normal(0, 0.1, len(time_axis))
    loud: NDArray[np.int16] = ((hum + noise) * 4_000).astype(np.int16)
    return loud


@asynccontextmanager
async def running_mesh() -> AsyncIterator[Mesh]:
    """Run every room as a process of its own; one that dies is started again, as `agent up` does."""
    environment = {
        "STT_PROVIDER": "mock",
        "STT_THREADS": "1",
        "INGEST_MIN_FREE_MB": "1",
        "INGEST_FINISH_GRACE_SECONDS": "3",
    }
    with build_directory() as directory:
        async with open_mesh(directory / "data", free_ports=True, environment=environment) as mesh:
            yield mesh


async def started(http: httpx2.AsyncClient) -> str:
    """Start a meeting and return its id."""
    body = {"mode": "realtime", "title": "Coming back", "language": "en", "auto_join_connector": False}
    answer = await http.post("/v1/meetings/start", json=body)
    answer.raise_for_status()
    return str(answer.json()["meeting_id"])


async def account(http: httpx2.AsyncClient, meeting_id: str) -> dict[str, Any]:
    """Return the only participant's account of a finished meeting."""

    async def finished() -> bool:
        return bool((await http.get(f"/v1/meetings/{meeting_id}")).json()["state"] == "finished")

    (await http.post(f"/v1/meetings/{meeting_id}/finish", json={})).raise_for_status()
    await eventually(finished, 60)
    answer = await http.get(f"/v1/meetings/{meeting_id}/coverage")
    (one,) = answer.json()["participants"]
    return dict(one)


async def back(caller: Caller) -> float:
    """Wait until the recorder hears the caller again; returns when that was, on the wall clock."""
    async with asyncio.timeout(LONG):
        await caller.ready.wait()
    return time.time()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_the_recorder_is_back_in_time_and_the_gap_is_the_time_away(how: signal.Signals) -> None:
    async with running_mesh() as mesh:
        headers = {"X-API-Key": mesh.keys.user}
        connector = mesh.room("connector").address
        async with (
            httpx2.AsyncClient(base_url=mesh.url, headers=headers, timeout=30) as http,
            open_channel(connector, api_key=mesh.keys.service) as channel,
        ):
            stub = ConnectorServiceStub(channel)
            meeting_id = await started(http)
            url = f"{mesh.url.replace('http', 'ws', 1)}/v1/rooms/{meeting_id}/signal"
            speech = speech_from_samples(await asyncio.to_thread(sound, LONG))
            async with open_caller("Anna", speech, url=url, room=meeting_id, token=mesh.keys.user) as anna:
                await stub.Join(pb.JoinRequest(meeting_id=meeting_id, language="en"), timeout=30)
                await back(anna)
                anna.start.set()
                await asyncio.sleep(5.0)
                anna.ready.clear()
                os.kill(mesh.pids["connector"], how)
                left_at = time.time()
                back_at = await back(anna)
                await asyncio.sleep(5.0)
                session = (await stub.GetStatus(pb.GetStatusRequest(meeting_id=meeting_id), timeout=30)).session
                await stub.Leave(pb.LeaveRequest(meeting_id=meeting_id, reason="done"), timeout=60)
                one = await account(http, meeting_id)

    away = back_at - left_at
    lost = [(each["start_ms"] / 1000, each["end_ms"] / 1000) for each in one["intervals"] if _lost(each)]
    print(f"{how.name}: away for {away:.2f} s, lost {lost}")
    assert away < BACK_SECONDS
    assert session.epoch == 2
    assert session.state == pb.SESSION_STATE_LIVE
    (gap,) = lost
    assert gap[1] - gap[0] == pytest.approx(away, abs=EXACT_SECONDS)
    assert one["coverage_ms"]["lost"] / 1000 == pytest.approx(away, abs=EXACT_SECONDS)


def _lost(interval: dict[str, Any]) -> bool:
    return str(interval["kind"]).upper().endswith("LOST")
