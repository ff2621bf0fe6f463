"""Kill anything, lose nothing: the transcript comes out as if nothing had happened."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from sqlalchemy.engine import make_url

from agent.ingest.v1 import meeting_service_pb2 as mpb
from kit.rpc.client import open_channel
from kit.rpc.status import error_of
from services.ingest.live.meeting import LiveMeeting
from tests.fakes.report_server import Report, serving_report
from tests.fakes.stt_server import Speech, serving_speech
from tests.integration.ingest.running import (
    SECONDS,
    SERVICE_KEY,
    USER_KEY,
    Script,
    Stubs,
    connected,
    finished,
    heard,
    interview,
    running_ingest,
    segments,
    send,
    serving_ingest,
    spoken,
    start_meeting,
    stubs,
    talk,
    until_durable,
)
from tests.integration.ingest.uplink import Uplink
from tests.kit_server import eventually


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Process:
    """The room as a process of its own, which can be killed and started again on the same port."""

    def __init__(self, url: str, data: Path, stt_port: int, **variables: str) -> None:
        self.port = free_port()
        self._environment = {
            **os.environ,
            "DATABASE_URL": url,
            "AGENT_DATA_DIR": str(data),
            "API_KEYS": USER_KEY,
            "SERVICE_API_KEYS": SERVICE_KEY,
            "INGEST_LISTEN": f"127.0.0.1:{self.port}",
            "INGEST_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
            "INGEST_MIN_FREE_MB": "1",
            "STT_TARGET": f"127.0.0.1:{stt_port}",
            "REPORT_TARGET": "127.0.0.1:1",
            "CONNECTOR_TARGET": "127.0.0.1:1",
            "PYTHONPATH": ".:gen",
            **variables,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.ingest", env=self._environment, stdout=asyncio.subprocess.DEVNULL
        )

    async def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(SECONDS):
            return await self._process.wait()


@asynccontextmanager
async def running_process(
    url: str, data: Path, stt_port: int, **variables: str
) -> AsyncIterator[tuple[Process, Stubs]]:
    process = Process(url, data, stt_port, **variables)
    await process.start()
    try:
        async with open_channel(f"127.0.0.1:{process.port}", api_key=USER_KEY) as channel:
            async with asyncio.timeout(SECONDS):
                await channel.channel_ready()
            yield process, stubs(channel)
    finally:
        if process._process is not None and process._process.returncode is None:
            await process.kill()


async def test_killed_in_the_middle_again_and_again_nothing_is_lost(database_url: str, tmp_path: Path) -> None:
    speech = Speech()
    speech.seconds_per_final = 0.02
    async with (
        serving_speech(speech) as stt_port,
        running_process(database_url, tmp_path, stt_port, INGEST_COMMIT_INTERVAL_SECONDS="0.05") as (process, client),
    ):
        meeting_id = await start_meeting(client)
        script = interview(seed=7, utterances=60)
        uplink = Uplink(client, meeting_id, script)
        sending = asyncio.create_task(uplink.run())
        for share in (0.2, 0.5, 0.8):
            await eventually(lambda share=share: uplink.durable > share * len(script.requests), seconds=SECONDS)
            await process.kill()
            await process.start()
        async with asyncio.timeout(SECONDS):
            await sending
        meeting = await finished(client, meeting_id)
        found = await segments(client, meeting_id)
        assert uplink.epoch >= 4
        assert heard(found) == spoken(script)
        assert [segment.ordinal for segment in found] == list(range(1, len(found) + 1))
        assert meeting.duration_ms == max(script.positions.values()) // 16
        await eventually(lambda: not list(tmp_path.glob("journals/*/*/*.journal")), seconds=SECONDS)
        sealed = sorted(path.name for path in tmp_path.glob("blobs/audio/default/*/s/*.flac"))
        assert sealed == ["1.flac", "2.flac"]
        assert await process.stop() == 0


async def test_after_a_kill_the_text_comes_even_if_no_client_comes_back(database_url: str, tmp_path: Path) -> None:
    speech = Speech()
    speech.seconds_per_final = 30  # nothing is decided before the kill
    port = free_port()
    script = interview(seed=3)
    async with running_process(database_url, tmp_path, port, INGEST_SESSION_TIMEOUT_SECONDS="0.5") as (process, client):
        async with serving_speech(speech, port=port):
            meeting_id = await start_meeting(client)
            async with connected(client, meeting_id, "s") as (call, _):
                for request in script.requests[:-3]:
                    await call.write(request)
                await until_durable(call, len(script.requests) - 3)
                await process.kill()
        speech.seconds_per_final = 0
        await process.start()
        async with serving_speech(speech, port=port):
            await finished(client, meeting_id)
            assert heard(await segments(client, meeting_id)) == spoken(script)


async def test_a_recogniser_that_dies_in_an_utterance_gives_the_same_segments_once(
    database_url: str, tmp_path: Path
) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(seed=11, utterances=20)
        near.speech.die_after_messages = 18
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            half = len(script.requests) // 2
            for request in script.requests[:half]:
                await call.write(request)
            await until_durable(call, half)
            await eventually(lambda: near.speech.die_after_messages is None, seconds=SECONDS)

            async def both_have_text() -> bool:
                request = mpb.GetMeetingRequest(meeting_id=meeting_id)
                text = (await near.ingest.user.meetings.GetMeeting(request)).meeting.raw_transcript
                return "Anna" in text and "Boris" in text

            await eventually(both_have_text, seconds=SECONDS)
            near.speech.drain_after_messages = 9
            for request in script.requests[half:]:
                await call.write(request)
            await until_durable(call, len(script.requests))
        await finished(near.ingest.user, meeting_id)
        found = await segments(near.ingest.user, meeting_id)
        assert heard(found) == spoken(script)
        assert len(near.speech.opens) >= 4
        assert any(opening.start_sample > 0 for opening in near.speech.opens)


async def test_text_waits_for_a_recogniser_that_is_away_and_audio_does_not(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    script = interview(seed=13)
    async with serving_ingest(database_url, tmp_path, stt_port=port) as ingest:
        meeting_id = await start_meeting(ingest.user)
        await send(ingest.user, meeting_id, script.requests)
        async with serving_speech(Speech(), port=port):
            await finished(ingest.user, meeting_id)
            assert heard(await segments(ingest.user, meeting_id)) == spoken(script)


async def test_a_slow_recogniser_is_fed_within_bounds(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path, feed_ahead_seconds=40) as near:
        near.speech.seconds_per_final = 0.01
        meeting_id = await start_meeting(near.ingest.user)
        script = Script()
        script.track(1, "anna")
        script.say(1, talk(150, seed=2))
        script.end()
        await send(near.ingest.user, meeting_id, script.requests)
        await finished(near.ingest.user, meeting_id)
        assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)
        assert near.speech.most_undecided <= 41 * 16_000


async def test_without_a_database_audio_is_acknowledged_and_text_catches_up(database_url: str, tmp_path: Path) -> None:
    async with PostgresWire(database_url) as wire, running_ingest(wire.url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(seed=17)
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            await wire.cut()
            for request in script.requests:
                await call.write(request)
            await until_durable(call, len(script.requests))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await near.ingest.user.meetings.GetMeeting(mpb.GetMeetingRequest(meeting_id=meeting_id))
        assert error_of(caught.value).reason == "ERROR_REASON_DEPENDENCY_UNAVAILABLE"
        await wire.mend()
        await finished(near.ingest.user, meeting_id)
        assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)


class PostgresWire:
    """The way to the database, which can be cut and mended."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return self._target.set(host="127.0.0.1", port=self._port).render_as_string(hide_password=False)

    async def __aenter__(self) -> "PostgresWire":
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers |= {writer, back}
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            for each in (writer, back):
                each.close()
                self._writers.discard(each)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_a_meeting_that_crashes_goes_on_from_its_journal(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes = 0
    real = LiveMeeting._tell_coverage_once

    def crashing(self: LiveMeeting) -> None:
        nonlocal crashes
        if crashes < 1 and self.length_ms > 1_000:
            crashes += 1
            raise RuntimeError("a bug")
        real(self)

    monkeypatch.setattr(LiveMeeting, "_tell_coverage_once", crashing)
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(seed=19, utterances=20)
        uplink = Uplink(near.ingest.user, meeting_id, script, pace_seconds=0.005)
        async with asyncio.timeout(SECONDS):
            await uplink.run()
        await finished(near.ingest.user, meeting_id)
        assert crashes == 1
        assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)


async def test_two_processes_cannot_share_a_data_directory(database_url: str, tmp_path: Path) -> None:
    async with serving_ingest(database_url, tmp_path):
        second = Process(database_url, tmp_path, 1)
        await second.start()
        assert second._process is not None
        async with asyncio.timeout(SECONDS):
            assert await second._process.wait() == 1


async def test_reports_that_are_away_disturb_nobody_and_are_told_the_rest_later(
    database_url: str, tmp_path: Path
) -> None:
    report, speech = Report(), Speech()
    report.break_after_segments = 3
    async with (
        serving_speech(speech) as stt_port,
        serving_report(report) as report_port,
        serving_ingest(database_url, tmp_path, stt_port=stt_port, report_port=report_port) as ingest,
    ):
        meeting_id = await start_meeting(ingest.user)
        script = interview(seed=23, utterances=10)
        async with connected(ingest.user, meeting_id, "s") as (call, _):
            for request in script.requests[:-3]:
                await call.write(request)
            await until_durable(call, len(script.requests) - 3)
            total = sum(map(len, spoken(script).values()))
            await eventually(lambda: len(report.segments.get(meeting_id, ())) >= total - 2, seconds=SECONDS)
            for request in script.requests[-3:]:
                await call.write(request)
            await until_durable(call, len(script.requests))
        await finished(ingest.user, meeting_id)
        await eventually(lambda: meeting_id in report.ended, seconds=SECONDS)
        assert [segment.ordinal for segment in report.segments[meeting_id]] == list(range(1, total + 1))
        assert report.connections == 2
