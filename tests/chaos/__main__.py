"""`python -m tests.chaos`: calls against a mesh that is killed, frozen and cut off; nothing may be missing."""

import argparse
import asyncio
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kit.telemetry import logs
from tests.chaos.mesh import ROOT, Plan
from tests.chaos.monkey import Appetite
from tests.chaos.run import Options, Outcome, play

_KILLS = 200
_CONTROL_KILLS = 10
_MISSING = 2
_SHOWN_FINDINGS = 40


def main(arguments: list[str] | None = None) -> int:
    """Run, report, and return the exit code: 0 when everything is as it was without faults, 2 when it is not."""
    options = _parser().parse_args(arguments)
    without = options.without_durability
    directory = ROOT / "build" / (f"chaos-without-{without}" if without else "chaos")
    _clear(directory)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    kills = options.kills or (_CONTROL_KILLS if without else _KILLS)
    again = f"python -m tests.chaos --seed {seed} --kills {kills} --calls {options.calls} --replicas {options.replicas}"
    if without:
        again += f" --without-durability {without}"
    tell = _teller()
    tell(f"seed {seed}; the same faults again: {again}")
    plan = Plan(directory, options.replicas, options.disk_mebibytes, options.pace)
    appetite = Appetite(kills, options.seconds_per_kill)
    wanted = Options(seed, appetite, options.calls, plan, witnesses=options.webrtc)
    if without:
        wanted = _undurable(wanted, without)
    with (directory / "logs" / "calls.log").open("w") as log:
        logs.configure("calls", stream=log)
        outcome = asyncio.run(play(wanted, tell))
    outcome.summary.write(directory / "summary.json")
    _report(outcome, directory, again)
    return 0 if outcome.summary.sound else _MISSING


def _undurable(options: Options, without: str) -> Options:
    """The negative control: ingest without its promises, killed often; whatever is found is found quickly."""
    # What was promised too early is missed the more often the longer it takes.
    interval = "3" if without == "audio" else "0.2"
    settings = {
        "CHAOS_WITHOUT": without,
        "INGEST_COMMIT_INTERVAL_SECONDS": interval,
        "INGEST_SESSION_TIMEOUT_SECONDS": "5",
        "INGEST_CHUNK_TIMEOUT_SECONDS": "5",
    }
    return replace(
        options,
        appetite=replace(options.appetite, shares={"ingest": 9, "stt": 1}, others=False),
        plan=replace(options.plan, ingest_module="tests.chaos.undurable", settings=settings),
        samples=options.samples[:1],
        calm_seconds=30.0,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, help=f"kill -9 in all; {_KILLS}, or {_CONTROL_KILLS} without durability")
    parser.add_argument("--seed", type=int, help="of the faults; drawn and printed if it is not given")
    parser.add_argument("--calls", type=int, default=4, help="held at a time (%(default)s)")
    parser.add_argument("--replicas", type=int, default=2, help="of ingest and of stt (%(default)s)")
    parser.add_argument("--webrtc", action="store_true", help="hold a call through the connector as well")
    parser.add_argument("--pace", type=float, default=4.0, help="speed of speech; 1 is real time (%(default)s)")
    parser.add_argument("--seconds-per-kill", type=float, default=1.7, help="on average (%(default)s)")
    parser.add_argument("--disk-mebibytes", type=int, default=96, help="size of the journals' disk (%(default)s)")
    parser.add_argument(
        "--without-durability",
        choices=("audio", "text"),
        help="the negative control, which must fail: audio is acknowledged before it is written, or a final and its "
        "cursor are not one transaction",
    )
    return parser


def _teller() -> Callable[[str], None]:
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {line}", flush=True)

    return tell


def _clear(directory: Path) -> None:
    """Remove what the last run left, the disk of one that was killed included."""
    if (directory / "disk").is_mount():
        subprocess.run(["umount", "--lazy", str(directory / "disk")], check=True)
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "logs").mkdir(parents=True)
    directory.chmod(0o711)  # PostgreSQL runs as a user of its own when we are root


def _report(outcome: Outcome, directory: Path, again: str) -> None:
    findings = [f"{verdict.call.name}: {finding}" for verdict in outcome.verdicts for finding in verdict.findings]
    print()
    for finding in findings[:_SHOWN_FINDINGS]:
        print(f"  {finding}")
    if len(findings) > _SHOWN_FINDINGS:
        print(f"  ... and {len(findings) - _SHOWN_FINDINGS} more")
    for line in outcome.summary.lines():
        print(line)
    print(f"{directory / 'summary.json'}; logs of all rooms in {directory / 'logs'}")
    print("nothing is missing" if outcome.summary.sound else f"SOMETHING IS MISSING; again: {again}")


if __name__ == "__main__":
    sys.exit(main())
