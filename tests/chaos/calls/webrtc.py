"""A WebRTC call through the connector: a witness of what the death of a connector or a gateway costs.

What was not on ingest's disk when the connector died is lost, honestly. What must hold all the same: the meeting comes
to its end, its account adds up, nothing stands there twice.
"""

import asyncio
import os
import sys
from contextlib import suppress

import orjson

from tests.chaos.calls.call import Call, Doors, open_http, post, start_meeting
from tests.chaos.waiting import until

KIND = "webrtc"
_READY_SECONDS = 15.0
_REJOIN_SECONDS = 0.5


async def hold(call: Call, doors: Doors) -> None:
    """Let one person speak in a room with the recorder, who comes back when thrown out; then finish the meeting."""
    async with open_http(doors) as http:
        await start_meeting(call, http, "realtime", recorder=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_SECONDS + 2 * call.sample.seconds):
                await until(lambda: _speak(call, doors), _REJOIN_SECONDS)
        await post(http, f"/v1/meetings/{call.meeting_id}/finish", {})
    call.acknowledged = True


async def _speak(call: Call, doors: Doors) -> bool:
    """Be in the room once; returns whether everything was said."""
    caller = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.callers.interview",
        "--gateway", doors.gateway,
        "--room", call.meeting_id,
        "--language", call.sample.language,
        "--speaker", next(iter(call.sample.tracks)),
        "--seconds", f"{call.sample.seconds:.1f}",
        "--ready-seconds", f"{_READY_SECONDS:g}",
        env={**os.environ, "AGENT_API_KEY": doors.user_key},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert caller.stdin is not None
    assert caller.stdout is not None
    finished = False
    try:
        while line := await caller.stdout.readline():
            match orjson.loads(line)["event"]:
                case "ready":
                    call.connections += 1
                    caller.stdin.write(b"start\n")
                case "finished":
                    finished = True
                    caller.stdin.write(b"leave\n")
        await caller.wait()
    finally:
        if caller.returncode is None:
            caller.kill()
            await asyncio.shield(caller.wait())
    return finished
