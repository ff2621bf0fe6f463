"""A meeting over REST from end to end: start, chunks, then the text, the enhanced text and the report.

python tools/e2e_local.py --start
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kit.lifecycle import StartError  # noqa: E402
from tools.reach import Gateway, NothingToCall, Refused, add_options, ask, open_gateway  # noqa: E402
from tools.speech import pieces, spoken, wav  # noqa: E402

BUILD = ROOT / "build"
PAUSE_SECONDS = 0.5

EPILOG = """
What happens, each step with a time limit; the first that fails ends it with status 1:

  1  POST /v1/meetings/start          a meeting of the mode "upload"
  2  POST /v1/meetings/ID/chunks      the sample interview's first voice, in chunks; the last one says so
  3  GET  /v1/meetings/ID             until it has raw_transcript, enhanced_transcript and report

Progress goes to standard error, one JSON object to standard output:

  {"ok": true, "meeting_id": "...", "chunks": 4, "words": 31, "text_seconds": 6.1, "report_seconds": 6.9, ...}

Status 0: all of it came. 1: something did not; "failed" says what. 2: there is nothing to run it with.

  a mesh of its own with the small model of the project, gone afterwards:
      tools/e2e_local.py --start
  the mesh that `make up` or `agent up` runs here, or any other:
      tools/e2e_local.py
      tools/e2e_local.py --base-url https://agent.example.org --api-key KEY
"""


class Missing(Exception):
    """Something did not come in time; the message says what."""


@dataclass
class Summary:
    """What was measured; seconds count from the last chunk's acknowledgement."""

    ok: bool = False
    failed: str = ""
    meeting_id: str = ""
    chunks: int = 0
    chunk_ms: list[int] = field(default_factory=list)
    """Time to the acknowledgement of each chunk."""
    duration_ms: int = 0
    words: int = 0
    enhanced_words: int = 0
    report_sections: list[str] = field(default_factory=list)
    text_seconds: float | None = None
    report_seconds: float | None = None


def main() -> int:
    """Run it; the exit status is its result."""
    asked = arguments()
    summary = Summary()
    try:
        asyncio.run(run(asked, summary))
    except (StartError, NothingToCall) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        summary.failed = "interrupted"
    print(json.dumps(asdict(summary), ensure_ascii=False))
    return 0 if summary.ok else 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="A meeting over REST from end to end: start, chunks, then the text and the report.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, service=False)
    parser.add_argument("--language", choices=("en", "ru"), default="en", help="of the sample interview (%(default)s)")
    parser.add_argument("--seconds", type=float, default=40.0, help="of speech (%(default)g)")
    parser.add_argument("--chunk-seconds", type=float, default=10.0, help="of speech in a chunk (%(default)g)")
    parser.add_argument(
        "--timeout", type=float, default=180.0, help="seconds for text and report after the last chunk (%(default)g)"
    )
    return parser.parse_args()


async def run(asked: argparse.Namespace, summary: Summary) -> None:
    """Find or start a mesh and hold the meeting."""
    environment = {"STT_PROVIDER": "demo", "APP_ENV": "dev"}
    async with (
        open_gateway(asked, BUILD, environment, say) as gateway,
        httpx2.AsyncClient(base_url=gateway.url, timeout=60, trust_env=False) as http,
    ):
        try:
            await hold(asked, http, gateway, summary)
            summary.ok = True
        except (Refused, Missing) as error:
            summary.failed = str(error)
            say(f"FAILED: {summary.failed}")


async def hold(asked: argparse.Namespace, http: httpx2.AsyncClient, gateway: Gateway, summary: Summary) -> None:
    """Take every step.

    Raises:
        Refused: a request was.
        Missing: the results did not come in time.
    """
    started = await ask(
        http,
        gateway.user_key,
        "POST",
        "/v1/meetings/start",
        body={"title": "End to end", "mode": "upload", "language": asked.language},
    )
    summary.meeting_id = path_id = str(started["meeting_id"])
    say(f"meeting {path_id}")
    chunks = pieces(spoken(asked.seconds, language=asked.language), asked.chunk_seconds)
    for number, pcm in enumerate(chunks, start=1):
        began = time.monotonic()
        query = {
            "sequence": number,
            "participant_id": "speaker-1",
            "last": "true" if number == len(chunks) else "false",
        }
        path = f"/v1/meetings/{path_id}/chunks"
        await ask(http, gateway.user_key, "POST", path, content=wav(pcm), query=query)
        summary.chunks = number
        summary.chunk_ms.append(round(1_000 * (time.monotonic() - began)))
        say(f"chunk {number} of {len(chunks)} is durable after {summary.chunk_ms[-1]} ms")
    await results(asked, http, gateway, summary)


async def results(asked: argparse.Namespace, http: httpx2.AsyncClient, gateway: Gateway, summary: Summary) -> None:
    """Wait for the text and the report, and note what they hold.

    Raises:
        Missing: they did not come in time.
    """
    began = time.monotonic()
    while True:
        answer = await ask(http, gateway.user_key, "GET", f"/v1/meetings/{summary.meeting_id}")
        meeting: dict[str, Any] = answer.get("meeting", answer)
        elapsed = round(time.monotonic() - began, 2)
        if summary.text_seconds is None and meeting.get("enhanced_transcript"):
            summary.text_seconds = elapsed
            say(f"enhanced text after {elapsed:.1f} s")
        if summary.text_seconds is not None and meeting.get("report"):
            break
        if elapsed > asked.timeout:
            absent = [name for name in ("raw_transcript", "enhanced_transcript", "report") if not meeting.get(name)]
            raise Missing(f"no {', '.join(absent)} {asked.timeout:g} s after the last chunk (--timeout)")
        await asyncio.sleep(PAUSE_SECONDS)
    summary.report_seconds = elapsed
    summary.duration_ms = int(meeting.get("duration_ms", 0))
    summary.words = len(str(meeting.get("raw_transcript", "")).split())
    summary.enhanced_words = len(str(meeting["enhanced_transcript"]).split())
    summary.report_sections = sorted(name for name, value in meeting["report"].items() if value)
    say(f"report after {elapsed:.1f} s; {summary.words} words in {summary.duration_ms / 1_000:.1f} s of meeting")
    if not summary.words:
        raise Missing("the meeting has no words; is a speech engine configured?")


def say(sentence: str) -> None:
    """Tell how it goes."""
    print(f"e2e-local: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
