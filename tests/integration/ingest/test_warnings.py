"""Warnings: watchers, clients and operators hear that a recording is not what it should be, and when it is again."""

import asyncio
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import meeting_service_pb2 as mpb
from agent.ops.v1 import ops_service_pb2 as ops
from kit.rpc.calls import held
from tests.fakes.stt_server import Speech, serving_speech
from tests.integration.ingest.running import (
    SECONDS,
    RunningIngest,
    Script,
    Stubs,
    connected,
    finished,
    running_ingest,
    serving_ingest,
    speech,
    start_meeting,
    until_durable,
)
from tests.integration.ingest.test_survival import free_port
from tests.kit_server import eventually

SECOND = 16_000


class Watch:
    """A watcher who notes the warnings."""

    def __init__(self, client: Stubs, meeting_id: str) -> None:
        self.warnings: list[mpb.MeetingWarning] = []
        self._client = client
        self._meeting_id = meeting_id

    async def __aenter__(self) -> "Watch":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        request = mpb.WatchMeetingRequest(meeting_id=self._meeting_id)
        with held(self._client.meetings.WatchMeeting(request)) as watching:
            async for event in watching:
                if event.HasField("warning"):
                    self.warnings.append(event.warning)

    def told(self, kind: str, *, cleared: bool) -> Callable[[], bool]:
        return lambda: any(each.kind == kind and each.cleared is cleared for each in self.warnings)


def dead(seconds: int) -> Any:
    return np.zeros(seconds * SECOND, np.int16)


def one(seed: int, seconds: int = 1) -> Script:
    script = Script()
    script.track(1, "anna")
    script.say(1, speech(seconds * SECOND, seed))
    return script


async def note(ingest: RunningIngest) -> str:
    request = ops.WatchRequest()
    with held(ingest.service.ops.Watch(request)) as watching:
        async for response in watching:
            return "; ".join(session.note for session in response.sessions)
    return ""


def metric(ingest: RunningIngest, name: str) -> float:
    """Return what a scraper reads."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ingest.room.metrics_port}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


async def test_a_dead_capture_is_told_and_taken_back_when_it_lives(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path, heartbeat_seconds=0.2) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = one(seed=1)
        script.say(1, dead(21))
        async with (
            connected(near.ingest.user, meeting_id, "s") as (call, _),
            Watch(near.ingest.user, meeting_id) as early,
        ):
            for request in script.requests:
                await call.write(request)
            await eventually(early.told("silent_capture", cleared=False), seconds=SECONDS)
            (warning,) = early.warnings
            assert warning.participant_id == "anna"
            assert warning.since_ms == 1_000
            assert "Anna" in warning.message
            async with Watch(near.ingest.user, meeting_id) as late:
                await eventually(late.told("silent_capture", cleared=False), seconds=SECONDS)
            async with asyncio.timeout(SECONDS):
                while not (response := await call.read()).status.warning:
                    pass
            assert response.status.warning == "dead microphone: anna"

            async def noted() -> bool:
                return await note(near.ingest) == "dead microphone: Anna"

            await eventually(noted, seconds=SECONDS)
            sent = len(script.requests)
            script.say(1, speech(SECOND, seed=2))
            script.end()
            for request in script.requests[sent:]:
                await call.write(request)
            await eventually(early.told("silent_capture", cleared=True), seconds=SECONDS)


async def test_a_track_on_which_nothing_comes_is_told_and_a_muted_one_is_not(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = one(seed=3)
        script.track(2, "boris")
        script.gap(1, 25 * SECOND, audio_pb2.GAP_REASON_NO_PACKETS)
        script.gap(2, 26 * SECOND, audio_pb2.GAP_REASON_MUTED)
        async with (
            connected(near.ingest.user, meeting_id, "s") as (call, _),
            Watch(near.ingest.user, meeting_id) as watch,
        ):
            for request in script.requests:
                await call.write(request)
            await eventually(watch.told("no_audio", cleared=False), seconds=SECONDS)
            script.leave(1)
            await call.write(script.requests[-1])
            await eventually(watch.told("no_audio", cleared=True), seconds=SECONDS)
            assert {each.participant_id for each in watch.warnings} == {"anna"}


async def test_recognition_that_is_away_is_told_until_it_is_back(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    async with serving_ingest(database_url, tmp_path, stt_port=port) as ingest:
        meeting_id = await start_meeting(ingest.user)
        script = one(seed=5)
        async with connected(ingest.user, meeting_id, "s") as (call, _), Watch(ingest.user, meeting_id) as watch:
            for request in script.requests:
                await call.write(request)
            await eventually(watch.told("recognition_away", cleared=False), seconds=SECONDS)
            async with serving_speech(Speech(), port=port):
                await eventually(watch.told("recognition_away", cleared=True), seconds=SECONDS)
                script.end()
                await call.write(script.requests[-1])
                await until_durable(call, len(script.requests))
                await finished(ingest.user, meeting_id)


async def test_a_disk_that_takes_no_new_session_is_told_to_those_who_watch_a_running_one(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        async with connected(near.ingest.user, meeting_id, "s"), Watch(near.ingest.user, meeting_id) as watch:
            monkeypatch.setattr("services.ingest.live.meeting.free_megabytes", lambda directory: 0.5)
            await eventually(watch.told("journal_disk_full", cleared=False), seconds=SECONDS)
            monkeypatch.undo()
            await eventually(watch.told("journal_disk_full", cleared=True), seconds=SECONDS)


async def test_live_coverage_and_warnings_are_metrics(database_url: str, tmp_path: Path) -> None:
    async with serving_ingest(database_url, tmp_path) as ingest:
        meeting_id = await start_meeting(ingest.user)
        script = one(seed=7, seconds=2)
        script.gap(1, 3 * SECOND, audio_pb2.GAP_REASON_NO_PACKETS)
        script.say(1, dead(21))
        async with connected(ingest.user, meeting_id, "s") as (call, _):
            for request in script.requests:
                await call.write(request)
            await until_durable(call, len(script.requests))

            async def counted() -> bool:
                return metric(ingest, 'agent_ingest_warnings{kind="silent_capture"}') == 1.0

            await eventually(counted, seconds=SECONDS)
            assert metric(ingest, "agent_ingest_pending_seconds") == pytest.approx(26.0)
            assert metric(ingest, "agent_ingest_lost_seconds") == pytest.approx(3.0)
            assert metric(ingest, "agent_ingest_pending_stalled_seconds") > 0
            free = metric(ingest, "agent_ingest_journal_disk_free_bytes")
            assert free > metric(ingest, "agent_ingest_journal_disk_min_free_bytes") == 1024 * 1024
            assert metric(ingest, 'agent_ingest_coverage_seconds_total{kind="lost"}') >= 0
