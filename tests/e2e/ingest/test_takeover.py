"""A meeting whose owner dies, freezes or leaves goes on at the other replica, as if nothing had happened."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kit.db.engine import open_database
from kit.rpc.client import open_channel
from store.models import meetings
from tests.e2e.rooms.process import USER_KEY, RoomProcess, room_process
from tests.fakes.stt_server import Speech, serving_speech
from tests.integration.ingest.running import (
    SECONDS,
    Script,
    Stubs,
    connected,
    finished,
    heard,
    interview,
    segments,
    spoken,
    start_meeting,
    stubs,
    until_durable,
)
from tests.integration.ingest.uplink import Uplink
from tests.kit_server import eventually
from tests.postgres import fresh_url, whole


@dataclass
class Replicas:
    """The owner of the meeting that the test is about, and the one that is to inherit it."""

    url: str
    journals: Path
    owner: RoomProcess
    heir: RoomProcess
    at_owner: Stubs
    at_heir: Stubs

    def parts(self) -> dict[str, int]:
        """Return the journals' files with their sizes."""
        return {path.name: path.stat().st_size for path in self.journals.glob("*/*/*.journal")}


@asynccontextmanager
async def replicas(shared: Path, **settings: str) -> AsyncIterator[Replicas]:
    """Two processes with one directory of journals."""
    speech = Speech()
    speech.seconds_per_final = 0.01
    with fresh_url() as url:
        async with serving_speech(speech) as stt_port:
            common = {
                "DATABASE_URL": url,
                "STT_TARGET": f"127.0.0.1:{stt_port}",
                "STORAGE_MODE": "shared_fs",
                "STORAGE_PATH": str(shared),
                "INGEST_LEASE_SECONDS": "1.5",
                "INGEST_COMMIT_INTERVAL_SECONDS": "0.05",
                "INGEST_HEARTBEAT_SECONDS": "0.5",
                **settings,
            }
            async with (
                room_process("ingest", **common) as owner,
                room_process("ingest", **common) as heir,
                open_channel(owner.address, api_key=USER_KEY) as at_owner,
                open_channel(heir.address, api_key=USER_KEY) as at_heir,
            ):
                yield Replicas(url, shared / "journals", owner, heir, stubs(at_owner), stubs(at_heir))


@asynccontextmanager
async def speaking(pair: Replicas, script: Script) -> AsyncIterator[tuple[str, Uplink, "asyncio.Task[None]"]]:
    """Start a meeting at its owner; a client then speaks through the other replica."""
    meeting_id = await start_meeting(pair.at_owner)
    async with connected(pair.at_owner, meeting_id, "s", epoch=1):
        pass
    uplink = Uplink(pair.at_heir, meeting_id, script, pace_seconds=0.01)
    uplink.epoch = 1
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(uplink.run())
        await eventually(lambda: uplink.durable > len(script.requests) // 4, seconds=SECONDS)
        yield meeting_id, uplink, running


async def transcript(client: Stubs, meeting_id: str) -> list[tuple[Any, ...]]:
    """Return what counts of a finished meeting's text, in time order."""
    await finished(client, meeting_id)
    found = await segments(client, meeting_id)
    assert [each.ordinal for each in found] == list(range(1, len(found) + 1))
    return sorted((each.participant_id, each.start_ms, each.end_ms, each.text) for each in found)


async def undisturbed(pair: Replicas, script: Script) -> list[tuple[Any, ...]]:
    meeting_id = await start_meeting(pair.at_heir)
    await Uplink(pair.at_heir, meeting_id, script, pace_seconds=0).run()
    return await transcript(pair.at_heir, meeting_id)


def told(process: RoomProcess, event: str, meeting_id: str) -> bool:
    return any(line["event"] == event and line.get("meeting_id") == meeting_id for line in process.log)


@pytest.mark.parametrize(
    ("how", "lease_seconds"),
    [
        pytest.param(signal.SIGKILL, "1.5", id="killed"),
        # Nobody waits for this lease: it is given back.
        pytest.param(signal.SIGTERM, "120", id="stopped"),
    ],
)
async def test_the_heir_goes_on_where_the_owner_ended(how: signal.Signals, lease_seconds: str, tmp_path: Path) -> None:
    script = interview(seed=41, utterances=30)
    async with replicas(tmp_path, INGEST_LEASE_SECONDS=lease_seconds) as pair:
        wanted = await undisturbed(pair, script)
        async with speaking(pair, script) as (meeting_id, uplink, running):
            os.kill(pair.owner.pid, how)
            async with asyncio.timeout(SECONDS):
                await running
        assert uplink.promised, "what was durable was asked for again"
        assert await transcript(pair.at_heir, meeting_id) == wanted
        await eventually(lambda: not pair.parts(), seconds=SECONDS)
        sealed = sorted(path.name for path in tmp_path.glob(f"audio/default/{meeting_id}/s/*.flac"))
        assert sealed == ["1.flac", "2.flac"]


async def test_an_owner_that_wakes_up_after_its_meeting_was_taken_over_does_no_harm(tmp_path: Path) -> None:
    script = interview(seed=43, utterances=40)
    async with replicas(tmp_path) as pair:
        wanted = await undisturbed(pair, script)
        async with speaking(pair, script) as (meeting_id, uplink, running):
            os.kill(pair.owner.pid, signal.SIGSTOP)
            try:
                await eventually(lambda: told(pair.heir, "meeting_taken_up", meeting_id), seconds=SECONDS)
                before = uplink.durable
                await eventually(lambda: uplink.durable > before, seconds=SECONDS)
            finally:
                os.kill(pair.owner.pid, signal.SIGCONT)
            await eventually(lambda: told(pair.owner, "meeting_fenced", meeting_id), seconds=SECONDS)
            frozen = {name: size for name, size in pair.parts().items() if name == "s.1.journal"}
            async with asyncio.timeout(SECONDS):
                await running
            assert {name: size for name, size in pair.parts().items() if name == "s.1.journal"} in (frozen, {})
        assert await transcript(pair.at_owner, meeting_id) == wanted
        await eventually(lambda: not pair.parts(), seconds=SECONDS)


async def test_a_session_that_nobody_comes_back_to_is_finished_by_whoever_finds_it(tmp_path: Path) -> None:
    script = interview(seed=47, utterances=5)
    async with replicas(tmp_path, INGEST_SESSION_TIMEOUT_SECONDS="1") as pair:
        meeting_id = await start_meeting(pair.at_owner)
        sent = script.requests[:-3]
        async with connected(pair.at_owner, meeting_id, "s") as (call, _):
            for request in sent:
                await call.write(request)
            await until_durable(call, len(sent))
            os.kill(pair.owner.pid, signal.SIGKILL)
        await finished(pair.at_heir, meeting_id)
        assert heard(await segments(pair.at_heir, meeting_id)) == spoken(script)
        await eventually(lambda: not pair.parts(), seconds=SECONDS)
        async with open_database(pair.url) as database, whole(database).connect() as connection:
            rows = (await connection.execute(meetings.select())).all()
        assert [(row.state, row.owner) for row in rows] == [("finished", "")]
