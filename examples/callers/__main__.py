"""`python -m examples.callers --url ws://... --room r --name Alice --wav alice.wav`: one caller as a process.

Writes one JSON object per line: `ready` when the recorder hears the caller, `started` with the wall clock when the
speech begins, `finished`. With `--wait` the speech begins with the first line on standard input.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from examples.callers.caller import open_caller
from examples.callers.speech import speech_from_wav


def tell(**event: object) -> None:
    """Write one event."""
    print(json.dumps(event), flush=True)


def spans(text: str) -> tuple[float, float]:
    """Parse `from-to`, in seconds."""
    off, _, on = text.partition("-")
    return float(off), float(on)


async def call(options: argparse.Namespace) -> None:
    """Hold one call."""
    speech = await asyncio.to_thread(speech_from_wav, options.wav)
    async with open_caller(
        options.name,
        speech,
        url=options.url,
        room=options.room,
        token=options.token,
        language=options.language,
        mutes=options.mute,
    ) as caller:
        async with asyncio.timeout(options.ready_seconds):
            await caller.ready.wait()
        tell(event="ready", name=caller.name)
        if options.wait:
            await asyncio.to_thread(sys.stdin.readline)
        speaking = asyncio.create_task(caller.speak(), name="caller.speak")
        await caller.player.started.wait()
        tell(event="started", name=caller.name, at=caller.player.started_at, seconds=speech.seconds)
        await speaking
        tell(event="finished", name=caller.name)


def main() -> None:
    """Read the command line and hold the call."""
    parser = argparse.ArgumentParser(prog="python -m examples.callers", description="One caller in a room.")
    parser.add_argument("--url", required=True, help="signalling of the room, ws://host:port/v1/rooms/NAME/signal")
    parser.add_argument("--room", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--wav", required=True, type=Path, help="16-bit WAV at 16 or 48 kHz")
    parser.add_argument("--token", help="a user's API key, where the room asks for one")
    parser.add_argument("--language", default="")
    parser.add_argument(
        "--mute", type=spans, action="append", default=[], metavar="FROM-TO", help="seconds, repeatable"
    )
    parser.add_argument("--wait", action="store_true", help="speak after the first line on standard input")
    parser.add_argument("--ready-seconds", type=float, default=60.0, help="time for the recorder to come")
    asyncio.run(call(parser.parse_args()))


if __name__ == "__main__":
    main()
