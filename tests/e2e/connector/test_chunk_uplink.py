"""Chunks of a pull provider on their way to a real ingest: each once, in its place, whoever brings it."""

from pathlib import Path

import numpy as np
import pytest

from agent.ingest.v1 import meeting_service_pb2 as mpb
from kit.errors import Unavailable
from kit.rpc.client import open_channel
from services.connector.provider import Basis, Chunk, ChunkRefused, JoinSpec, Surroundings
from services.connector.providers.sberjazz import SberJazzProvider
from services.connector.providers.sberjazz_http import Connecting
from services.connector.providers.sberjazz_mock.faults import Fault, Planned
from services.connector.providers.sberjazz_mock.server import DEFAULT_TOKEN, open_mock
from services.connector.providers.sberjazz_mock.voices import Voice
from services.connector.uplink.chunks import ChunkUplink
from services.connector.uplink.uplink import MeetingOver, UplinkRefused
from tests.fakes.chunk_sink import Notes
from tests.integration.ingest.running import (
    SERVICE_KEY,
    Neighbourhood,
    finished,
    running_ingest,
    start_meeting,
)

SOUND = np.random.default_rng(1).integers(-9_000, 9_000, 16_000 * 60).astype(np.int16)


def chunk(number: int, start_ms: int | None = None, content: bytes = SOUND[:8_000].tobytes()) -> Chunk:
    return Chunk(f"stay-1:{number}", "p-1", "Anna", Basis.ROSTER, content, "s16le", 16_000, start_ms)


async def coverage(near: Neighbourhood, meeting_id: str) -> dict[str, tuple[int, int]]:
    """Return heard and lost milliseconds by participant."""
    answer = await near.ingest.user.meetings.GetCoverage(mpb.GetCoverageRequest(meeting_id=meeting_id))
    return {
        one.participant_id: (one.coverage_ms.transcribed + one.coverage_ms.silent, one.coverage_ms.lost)
        for one in answer.participants
    }


@pytest.mark.parametrize("provider", ["sberjazz", "a-provider-" * 12])
async def test_a_chunk_is_stored_once_whoever_brings_it_again(database_url: str, tmp_path: Path, provider: str) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user, mode="realtime")
        spec = JoinSpec(meeting_id, "default", language="en")
        async with open_channel(near.ingest.room.server.address, api_key=SERVICE_KEY) as channel:
            first = ChunkUplink(channel, spec, provider)
            assert await first.put(chunk(1, 0))
            assert await first.put(chunk(3, 1_500))
            with pytest.raises(ChunkRefused):
                await first.put(chunk(4, content=b"\x00"))
        async with open_channel(near.ingest.room.server.address, api_key=SERVICE_KEY) as channel:
            second = ChunkUplink(channel, spec, provider)
            assert not await second.put(chunk(3, 1_500))
            assert await second.put(chunk(5))
            await second.finish()
            await second.finish()
            with pytest.raises(MeetingOver):
                await second.put(chunk(6))
        meeting = await finished(near.ingest.user, meeting_id)
        assert [(one.display_name, one.basis) for one in meeting.participants] == [("Anna", "roster")]
        assert await coverage(near, meeting_id) == {"p-1": (1_500, 1_000)}


async def test_what_ingest_says_becomes_what_a_session_can_act_on(database_url: str, tmp_path: Path) -> None:
    async with (
        running_ingest(database_url, tmp_path) as near,
        open_channel(near.ingest.room.server.address, api_key=SERVICE_KEY) as channel,
    ):
        with pytest.raises(UplinkRefused):
            await ChunkUplink(channel, JoinSpec("no-such-meeting", "default"), "sberjazz").put(chunk(1))
    async with open_channel("127.0.0.1:1", api_key=SERVICE_KEY) as channel:
        with pytest.raises(Unavailable):
            await ChunkUplink(channel, JoinSpec("m", "default"), "sberjazz").put(chunk(1))


async def test_a_call_with_every_fault_is_heard_to_the_last_sample(database_url: str, tmp_path: Path) -> None:
    faults = [
        Planned(Fault.DUPLICATES),
        Planned(Fault.TOO_MANY, 2, "live-pull"),
        Planned(Fault.LATE),
        Planned(Fault.SERVER_ERROR, 2, "live-pull"),
        Planned(Fault.OUT_OF_ORDER),
    ]
    async with (
        running_ingest(database_url, tmp_path) as near,
        open_mock([Voice("p-1", "Anna", SOUND)], chunk_seconds=0.1, faults=faults) as (mock, url),
        open_channel(near.ingest.room.server.address, api_key=SERVICE_KEY) as channel,
    ):
        meeting_id = await start_meeting(near.ingest.user, mode="realtime")
        spec = JoinSpec(meeting_id, "default", language="en")
        connecting = Connecting(url, DEFAULT_TOKEN, retries=5, backoff_seconds=0.01)
        provider = SberJazzProvider(connecting, Surroundings("", None))
        uplink = ChunkUplink(channel, spec, "sberjazz")
        async with provider.open_pull(spec, uplink, Notes(), rejoin=False) as source:
            stored = 0
            while stored < 15 or mock.faults.planned:
                stored += (await source.pull(4)).stored
        await uplink.finish()
        meeting = await finished(near.ingest.user, meeting_id)
        stay = mock.calls.latest(meeting_id)
        assert stay is not None
        assert stay.ended_at is not None
        length_ms = (stay.ended_at - stay.began_at) * 1000
        assert abs(meeting.duration_ms - length_ms) <= 1
        heard, lost = (await coverage(near, meeting_id))["p-1"]
        assert (heard, lost) == (meeting.duration_ms, 0)
