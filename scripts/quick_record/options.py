"""The command line of quick recording."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

_EXAMPLES = """
examples:
  quick_record_meeting.py --url https://meet.example.org/standup
      open the link in the browser and record what the loudspeaker plays, until Ctrl-C
  quick_record_meeting.py --url https://... --duration-sec 600 --transcribe
      stop after ten minutes, then write transcript.txt on this machine
  quick_record_meeting.py --url https://... --upload-to-agent --agent-api-key dev-user-key --email-to me@example.org
      send the recording to the agent (start, chunks, report) and mail its report
  quick_record_meeting.py --resume recordings/20261121-101500-meet.example.org
      put together what a run left that was killed, and do what is still to be done
  quick_record_meeting.py --list-sources
      show what can be recorded here

Ctrl-C stops cleanly: the recording is put together then. A crash or a power cut loses at most the segment that was
being written. People in a call have a right to know that they are recorded: tell them.

e-mail goes through your own server: SMTP_HOST, SMTP_PORT (587), SMTP_USER, SMTP_PASSWORD, SMTP_FROM (SMTP_USER),
SMTP_TLS (starttls, tls or off).
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for; times in seconds."""

    url: str
    duration: float
    segment: float
    overlap: float
    source: str
    input: Path | None
    pace: float
    output: Path
    resume: Path | None
    go_on: bool
    list_sources: bool
    open_browser: bool
    title: str
    language: str
    transcribe: bool
    upload: bool
    agent_url: str
    agent_api_key: str
    email_to: tuple[str, ...]


def read_options(arguments: list[str]) -> Options:
    """Read the command line; a wrong one ends the program with a sentence."""
    parser = argparse.ArgumentParser(
        prog="quick_record_meeting.py",
        description="Record a meeting from its link: segments on disk as it goes on, one MP3 at the end.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to record")
    what.add_argument("--url", default="", help="link of the meeting; it is opened in your browser")
    what.add_argument("--no-browser", action="store_true", help="do not open the link: the meeting is open already")
    what.add_argument("--duration-sec", type=_positive, default=0.0, metavar="N", help="stop after N seconds")
    what.add_argument("--source", default="", help="sound source of this machine; the default monitor if not given")
    what.add_argument("--list-sources", action="store_true", help="show the sound sources of this machine and exit")
    what.add_argument("--input", type=Path, metavar="FILE", help="record an audio file instead of the loudspeaker")
    what.add_argument(
        "--pace", type=_natural, default=0.0, metavar="X", help="with --input: X times as fast as it sounds; 0: at once"
    )
    disk = parser.add_argument_group("how it is kept")
    disk.add_argument("--output", type=Path, default=Path("recordings"), help="folder for recordings (recordings)")
    disk.add_argument("--segment-sec", type=_positive, default=30.0, metavar="N", help="length of a segment (30)")
    disk.add_argument("--overlap-sec", type=_natural, default=2.0, metavar="N", help="overlap of two segments (2)")
    disk.add_argument("--resume", type=Path, metavar="DIR", help="finish what an earlier run left in DIR")
    disk.add_argument("--go-on", action="store_true", help="with --resume: record on into the same folder first")
    after = parser.add_argument_group("what follows")
    after.add_argument("--transcribe", action="store_true", help="write transcript.txt, on this machine")
    after.add_argument("--upload-to-agent", action="store_true", help="send it to the agent: start, chunks, report")
    after.add_argument(
        "--agent-url", default=os.environ.get("AGENT_URL", "http://localhost:8010"), help="the agent's address"
    )
    after.add_argument(
        "--agent-api-key", default=os.environ.get("AGENT_API_KEY", ""), help="key for the agent, or AGENT_API_KEY"
    )
    after.add_argument("--email-to", action="append", default=[], metavar="ADDRESS", help="mail a summary; repeatable")
    after.add_argument("--title", default="", help="title of the meeting; the link's host if not given")
    after.add_argument("--language", default="", help="language, for example en or ru; found out if not given")
    found = parser.parse_args(arguments)
    if not (found.url or found.resume or found.list_sources):
        parser.error("--url is needed: the link of the meeting")
    if found.go_on and not found.resume:
        parser.error("--go-on needs --resume")
    if found.overlap_sec >= found.segment_sec:
        parser.error("--overlap-sec must be less than --segment-sec")
    if found.input and not found.input.is_file():
        parser.error(f"--input: there is no file {found.input}")
    if found.resume and not found.resume.is_dir():
        parser.error(f"--resume: there is no folder {found.resume}")
    if found.email_to and not os.environ.get("SMTP_HOST"):
        parser.error("--email-to needs SMTP_HOST in the environment")
    return Options(
        url=found.url,
        duration=found.duration_sec,
        segment=found.segment_sec,
        overlap=found.overlap_sec,
        source=found.source,
        input=found.input,
        pace=found.pace,
        output=found.output,
        resume=found.resume,
        go_on=found.go_on,
        list_sources=found.list_sources,
        open_browser=bool(found.url) and not found.no_browser and found.input is None,
        title=found.title,
        language=found.language,
        transcribe=found.transcribe,
        upload=found.upload_to_agent,
        agent_url=found.agent_url.rstrip("/"),
        agent_api_key=found.agent_api_key,
        email_to=tuple(found.email_to),
    )


def _natural(text: str) -> float:
    value = float(text)
    if not 0 <= value < 10**9:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def _positive(text: str) -> float:
    value = _natural(text)
    if not value:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value
