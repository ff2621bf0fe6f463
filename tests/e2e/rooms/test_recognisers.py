"""Two recognisers behind one ingest: streams spread over both, and when one dies or is full the other has them all."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np

from agent.stt.v1 import stt_service_pb2 as pb
from agent.stt.v1.stt_service_pb2_grpc import SpeechServiceStub
from kit.rpc.client import open_channel
from tests.data.speech.sentences import sentences, track
from tests.e2e.rooms.process import SERVICE_KEY, USER_KEY, RoomProcess, room_process
from tests.integration.ingest.running import (
    FRAME,
    SECONDS,
    Script,
    Stubs,
    connected,
    finished,
    segments,
    start_meeting,
    stubs,
)
from tests.integration.ingest.uplink import Uplink
from tests.kit_server import eventually

_TRACKS = 4
_SLOWER_THAN_A_PROCESS_SECONDS = 2 * SECONDS


@dataclass
class Recogniser:
    """One replica."""

    process: RoomProcess
    stub: Any

    async def stats(self) -> pb.GetStatsResponse:
        """What it carries now."""
        return await self.stub.GetStats(pb.GetStatsRequest(), timeout=SECONDS)  # type: ignore[no-any-return]


@asynccontextmanager
async def replica(**settings: str) -> AsyncIterator[Recogniser]:
    """Run one with our own model."""
    async with (
        room_process("stt", **{"STT_PROVIDER": "demo", "STT_HEARTBEAT_SECONDS": "1", **settings}) as process,
        open_channel(process.address, api_key=SERVICE_KEY) as channel,
    ):
        yield Recogniser(process, SpeechServiceStub(channel))


@asynccontextmanager
async def ingest_before(*replicas: Recogniser) -> AsyncIterator[Stubs]:
    """Run ingest with these recognisers to turn to."""
    targets = ",".join(each.process.address for each in replicas)
    async with (
        room_process(
            "ingest", STT_TARGET=targets, INGEST_COMMIT_INTERVAL_SECONDS="0.05", INGEST_HEARTBEAT_SECONDS="0.5"
        ) as process,
        open_channel(process.address, api_key=USER_KEY) as channel,
    ):
        yield stubs(channel)


def interview() -> Script:
    """Return four people, each of whom says three sentences, in both languages."""
    script = Script()
    spoken = [track(sentences(language)) for language in ("en", "ru", "en", "ru")]
    length = max(len(each) for each in spoken)
    for number in range(1, _TRACKS + 1):
        script.track(number, f"speaker-{number}", language=("en", "ru")[(number - 1) % 2])
    padded = [np.resize(np.concatenate([each, np.zeros(length - len(each), np.int16)]), length) for each in spoken]
    for offset in range(0, length, FRAME):
        for number, pcm in enumerate(padded, start=1):
            script.frame(number, pcm[offset : offset + FRAME])
    for number in range(1, _TRACKS + 1):
        script.leave(number)
    script.end()
    return script


async def transcript(client: Stubs, meeting_id: str) -> list[tuple[Any, ...]]:
    """Return what counts of a finished meeting's text."""
    async with asyncio.timeout(_SLOWER_THAN_A_PROCESS_SECONDS):
        await finished(client, meeting_id)
    found = await segments(client, meeting_id)
    return sorted((each.participant_id, each.start_ms, each.end_ms, each.text) for each in found)


async def test_streams_spread_and_a_killed_recognisers_streams_go_on_at_the_other_word_for_word() -> None:
    script = interview()
    async with replica() as one, replica() as other, ingest_before(one, other) as client:
        undisturbed = await start_meeting(client)
        await Uplink(client, undisturbed, script, pace_seconds=0).run()
        wanted = await transcript(client, undisturbed)
        said = [sentence.text for language in ("en", "ru") for sentence in sentences(language)]
        assert sorted(text for *_, text in wanted) == sorted(2 * said)

        meeting_id = await start_meeting(client)
        uplink = Uplink(client, meeting_id, script, pace_seconds=0.02)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(uplink.run(), name="test.uplink")
            await eventually(lambda: uplink.durable > len(script.requests) // 3, seconds=SECONDS)
            carried = [(await each.stats()).streams for each in (one, other)]
            assert carried == [_TRACKS // 2, _TRACKS // 2]
            os.kill(one.process.pid, signal.SIGKILL)
            await eventually(lambda: _carries(other, _TRACKS), seconds=SECONDS)
        assert await transcript(client, meeting_id) == wanted


async def test_streams_that_one_recogniser_refuses_are_taken_by_the_other() -> None:
    script = interview()
    async with replica(STT_MAX_STREAMS="1") as small, replica() as large, ingest_before(small, large) as client:
        meeting_id = await start_meeting(client)
        uplink = Uplink(client, meeting_id, script, pace_seconds=0.02)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(uplink.run(), name="test.uplink")
            await eventually(lambda: _carries(large, _TRACKS - 1), seconds=SECONDS)
            assert (await small.stats()).streams == 1
        texts = [text for *_, text in await transcript(client, meeting_id)]
    assert len(texts) == 2 * len(sentences())


async def _carries(recogniser: Recogniser, streams: int) -> bool:
    return (await recogniser.stats()).streams == streams


async def test_what_a_busy_recogniser_warns_of_reaches_the_client_of_ingest() -> None:
    script = Script()
    script.track(1, "anna", language="en")
    script.say(1, track(3 * sentences("en")))
    script.end()
    slow = {"STT_PROVIDER": "mock", "STT_MOCK_SECONDS_PER_DECODE": "3"}
    async with replica(**slow) as busy, ingest_before(busy) as client:
        meeting_id = await start_meeting(client)
        async with connected(client, meeting_id, "s", epoch=1) as (call, _), asyncio.timeout(SECONDS):
            for request in script.requests[:-1]:
                await call.write(request)
            while "text comes late" not in (answer := await call.read()).status.warning:
                assert answer is not grpc.aio.EOF
    assert answer.status.warning.startswith("speech recognition is busy")


async def test_tracks_that_no_recogniser_can_carry_wait_and_are_told_why() -> None:
    script = interview()
    async with replica(STT_MAX_STREAMS="3") as full, ingest_before(full) as client:
        meeting_id = await start_meeting(client)
        async with connected(client, meeting_id, "s", epoch=1) as (call, _), asyncio.timeout(SECONDS):
            for request in script.requests[: -_TRACKS - 1]:
                await call.write(request)
            while "takes no more tracks" not in (answer := await call.read()).status.warning:
                assert answer is not grpc.aio.EOF
            for request in script.requests[-_TRACKS - 1 :]:
                await call.write(request)
            while (await call.read()) is not grpc.aio.EOF:
                pass
        texts = [text for *_, text in await transcript(client, meeting_id)]
    assert len(texts) == 2 * len(sentences())
