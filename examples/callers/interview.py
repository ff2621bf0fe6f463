"""`python -m examples.callers.interview`: one speaker of a sample interview as a process, directed line by line.

    python -m examples.callers.interview --gateway http://127.0.0.1:8010 --room ROOM --language en --speaker ben

Writes one JSON object per line: `joined` the room, `ready` (connected to the recorder), `started` with the wall clock
in `time_ms`, `finished`. Reads one word per line: `start`, `leave`. The API key comes from AGENT_API_KEY.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys

from examples.callers.caller import open_caller
from examples.callers.speech import speech_from_samples
from examples.interview.interview import LANGUAGES, SAMPLE_RATE_HERTZ, load


def tell(event: str, **facts: object) -> None:
    """Write one event."""
    print(json.dumps({"event": event, **facts}), flush=True)


async def told() -> str:
    """Wait for the next word; the end of the input is `leave`."""
    return (await asyncio.to_thread(sys.stdin.readline)).strip() or "leave"


async def call(options: argparse.Namespace) -> None:
    """Be one speaker from joining to leaving."""
    interview = await asyncio.to_thread(load, options.language)
    speaker = next(one for one in interview.speakers if one.id == options.speaker)
    seconds = min(options.seconds, interview.duration_seconds)
    samples = interview.tracks[speaker.id][: round(seconds * SAMPLE_RATE_HERTZ)]
    speech = await asyncio.to_thread(speech_from_samples, samples)
    mutes = [
        (mute.start_ms / 1000, min(mute.end_ms / 1000, seconds))
        for mute in interview.mutes
        if mute.speaker == speaker.id and mute.start_ms / 1000 < seconds
    ]
    address = options.gateway.replace("http", "ws", 1)
    async with open_caller(
        speaker.name,
        speech,
        url=f"{address}/v1/rooms/{options.room}/signal",
        room=options.room,
        token=os.environ.get("AGENT_API_KEY"),
        language=speaker.language,
        mutes=mutes,
    ) as caller:
        tell("joined")
        async with asyncio.timeout(options.ready_seconds):
            await caller.ready.wait()
        tell("ready")
        if await told() != "start":
            return
        speaking = asyncio.create_task(caller.speak(), name="caller.speak")
        await caller.player.started.wait()
        assert caller.player.started_at is not None
        tell("started", time_ms=round(1000 * caller.player.started_at))
        await speaking
        tell("finished")
        await told()


def main() -> None:
    """Read the command line and hold the call."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.callers.interview", description="One speaker of a sample interview."
    )
    parser.add_argument("--gateway", required=True, help="address of the gateway, http://host:port")
    parser.add_argument("--room", required=True, help="name of the room: the meeting's identifier")
    parser.add_argument("--language", choices=LANGUAGES, default="en")
    parser.add_argument("--speaker", required=True, help="identifier in the interview's reference")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="only the beginning")
    parser.add_argument("--ready-seconds", type=float, default=60.0, help="time for the recorder to come")
    asyncio.run(call(parser.parse_args()))


if __name__ == "__main__":
    main()
