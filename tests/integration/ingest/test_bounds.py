"""A client may be as fast as it likes and the world behind the room as slow: it waits, memory does not grow."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.ingest.v1 import audio_service_pb2 as pb
from services.ingest.intake.session import Session
from services.ingest.timeline import MAX_AUDIO_BYTES
from tests.integration.ingest.running import (
    SECONDS,
    Script,
    connected,
    finished,
    heard,
    interview,
    running_ingest,
    segments,
    spoken,
    start_meeting,
    until_durable,
)
from tests.integration.ingest.test_survival import PostgresWire
from tests.kit_server import eventually

WINDOW = 16


class Meter:
    """Watches every message that is taken, and how much is in memory then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most_messages = self.most_bytes = 0
        self.session: Session | None = None
        real = Session.accept

        def accept(session: Session, request: pb.StreamAudioRequest) -> bool:
            taken = real(session, request)
            self.session = session
            self.most_messages = max(self.most_messages, session.unacknowledged)
            self.most_bytes = max(self.most_bytes, session.journal.pending_bytes)
            return taken

        monkeypatch.setattr(Session, "accept", accept)

    @property
    def full(self) -> bool:
        return self.session is not None and self.session.unacknowledged == WINDOW


async def outrun(call: Any, script: Script) -> None:
    """Send everything at once, whatever the server says of its window."""
    for request in script.requests:
        await call.write(request)


def loud() -> Script:
    """A session of four megabytes in messages as large as they may be."""
    script = Script()
    script.track(1, "anna")
    for _ in range(128):
        script.frame(1, np.zeros(MAX_AUDIO_BYTES // 2, np.int16))
    script.end()
    return script


async def held_up(call: Any, meter: Meter, sending: "asyncio.Task[None]") -> None:
    """Wait until the room takes no more, and make sure that it is the client who waits, on a stream that is alive."""
    await eventually(lambda: meter.full, seconds=SECONDS)
    beats = 0
    while beats < 3:
        async with asyncio.timeout(SECONDS):
            response = await call.read()
        assert not response.HasField("durable")
        beats += response.HasField("status")
    assert not sending.done()
    assert meter.most_messages <= WINDOW
    assert meter.most_bytes <= WINDOW * (MAX_AUDIO_BYTES + 100)


async def test_a_disk_that_stands_still_holds_the_client_up_and_kills_nobody(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, real = threading.Event(), os.fdatasync
    going.set()

    def fdatasync(descriptor: int) -> None:
        going.wait(SECONDS)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    meter = Meter(monkeypatch)
    async with running_ingest(database_url, tmp_path, window=WINDOW, heartbeat_seconds=0.1) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = loud()
        async with connected(near.ingest.user, meeting_id, "s") as (call, opened):
            assert opened.window == WINDOW
            going.clear()
            sending = asyncio.create_task(outrun(call, script))
            await held_up(call, meter, sending)
            going.set()
            await until_durable(call, len(script.requests))
            await sending
        assert meter.most_messages <= WINDOW
        assert (await finished(near.ingest.user, meeting_id)).duration_ms == script.positions[1] // 16


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[Path]:
    """Give the block a file system of its own."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


async def test_a_full_disk_holds_the_client_up_until_there_is_room_again(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter(monkeypatch)
    monkeypatch.setattr("services.ingest.journal.journal._FULL_RETRY_SECONDS", 0.05)
    with small_disk(tmp_path / "disk", 16) as disk:
        async with running_ingest(
            database_url, tmp_path, journals=disk / "journals", window=WINDOW, heartbeat_seconds=0.1
        ) as near:
            meeting_id = await start_meeting(near.ingest.user)
            script = loud()
            async with connected(near.ingest.user, meeting_id, "s") as (call, _):
                await call.write(script.requests[0])
                await until_durable(call, 1)
                ballast = disk / "ballast"
                with ballast.open("wb", buffering=0) as file:
                    try:
                        while file.write(bytes(4096)) == 4096:
                            pass
                    except OSError:
                        pass
                rest = Script(script.requests[1:])
                sending = asyncio.create_task(outrun(call, rest))
                await held_up(call, meter, sending)
                ballast.unlink()
                await until_durable(call, len(script.requests))
                await sending
            assert (await finished(near.ingest.user, meeting_id)).duration_ms == script.positions[1] // 16


async def test_without_a_database_what_clients_say_again_and_again_is_kept_once(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with PostgresWire(database_url) as wire, running_ingest(wire.url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview(seed=61, utterances=4)
        ending = script.requests[-3:]
        del script.requests[-3:]
        for number in range(500):
            start = pb.TrackStart(track=1, participant_id="anna", display_name=f"Anna {number}")
            script.add(track=start)
        for request in ending:
            request.sequence = len(script.requests) + 1
            script.requests.append(request)
        async with connected(near.ingest.user, meeting_id, "s") as (call, _):
            await call.write(script.requests[0])
            await until_durable(call, 1)
            await wire.cut()
            before = len(asyncio.all_tasks())
            for request in script.requests[1:-3]:
                await call.write(request)
            await until_durable(call, len(script.requests) - 3)
            assert len(asyncio.all_tasks()) < before + 20
            await wire.mend()
            for request in script.requests[-3:]:
                await call.write(request)
            await until_durable(call, len(script.requests))
        meeting = await finished(near.ingest.user, meeting_id)
        assert {one.display_name for one in meeting.participants} == {"Anna 499", "Boris"}
        assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)
