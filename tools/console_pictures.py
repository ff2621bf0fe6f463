"""The pictures of docs/console: a real mesh with real calls in it, and what agent-console shows of it in a terminal.

python tools/console_pictures.py [--only overview ...]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.ansi import AnsiDecoder
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import kit  # noqa: E402, F401 - first: gRPC reads its switches when it is imported
from mesh.child import ChildFailed  # noqa: E402
from mesh.mesh import why_it_failed  # noqa: E402
from tools.console_scene import BREAKER, Scene, open_scene  # noqa: E402
from tools.tmux import open_tmux  # noqa: E402

PICTURES = ROOT / "docs" / "console"
MEETINGS = (
    ("Weekly platform sync", "en"),
    ("Интервью: аналитик данных", "ru"),
    ("Design critique, onboarding", "en"),
    ("Sales handover, Nordwind", "en"),
    ("Ретроспектива спринта 31", "ru"),
    ("Interview: site reliability", "en"),
)
TALK_SECONDS = 40.0
"""How long the call goes on before the first picture."""
_REST_SECONDS = 1.5
_SAMPLES_SECONDS = 18.0
"""Time for the overview's figures to have a past."""
_SHOWN_SECONDS = 90.0
_MOST_BYTES = 150_000


@dataclass(frozen=True)
class Picture:
    """One picture: how to come to what it shows.

    Args:
        name: of the file.
        steps: what to type, each with texts that must be shown afterwards; keys without a character have tmux's names.
    """

    name: str
    steps: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Sitting:
    """Pictures that are taken in one console, one after the other.

    Args:
        pictures: in their order.
        arguments: of agent-console.
        columns: of the terminal.
        lines: of the terminal.
        away: whether the gateway stands still meanwhile.
    """

    pictures: Sequence[Picture]
    arguments: Sequence[str] = ()
    columns: int = 140
    lines: int = 40
    away: bool = False


KEYS = frozenset({"Tab", "Enter", "Escape", "End", "Down", "Space"})
SITTINGS = (
    Sitting(
        [
            Picture("overview", [("1", ["5/5", "Backend engineer", "report"])]),
            Picture("session", [("End", []), ("Enter", ["live transcript", "Alice Moore", "Ben Carter"])]),
            Picture("sessions", [("Escape", ["LIVE SESSIONS"]), ("2", ["meeting_id="])]),
            Picture("queues", [("3", ["queue=report", "410"]), ("Tab", ["payload of", "revision"])]),
            Picture("breakers", [("4", [BREAKER, "LAST ERROR"])]),
            Picture("services", [("5", ["SERVING", "WHAT TO DO", "database"])]),
            Picture("storage", [("6", ["local_fs"])]),
            Picture("audit", [("7", ["ALLOW"]), ("/", []), ("!GRPC !health", ["/!GRPC", "POST"]), ("Enter", [])]),
            # Found by its name: meetings that began together come in any order. The cursor stays when the filter goes.
            Picture(
                "meetings",
                [("8", ["Nordwind"]), ("/", []), ("Customer", []), ("Enter", ["410"]), ("Escape", ["410", "LIVE"])],
            ),
            Picture("logs", [("9", ["logs", "ingest"])]),
            Picture("help", [("2", ["meeting_id="]), ("?", ["Everywhere"])]),
        ]
    ),
    Sitting(
        [Picture("confirm", [("3", ["queue=report", "410"]), ("Tab", ["job_id="]), ("x", ["enter does it"])])],
        columns=120,
        lines=32,
    ),
    Sitting([Picture("light", [("1", ["report", "Weekly"])])], arguments=["--theme", "light"]),
    Sitting([Picture("overview-80x24", [("1", ["Weekly"])])], columns=80, lines=24),
    Sitting([Picture("ascii-80x24", [("1", ["Weekly"])])], arguments=["--ascii"], columns=80, lines=24),
    Sitting([Picture("offline", [("1", ["OFFLINE"])])], columns=100, lines=30, away=True),
)


def main() -> int:
    """Take the pictures; the exit status is 1 when one could not be taken."""
    asked = arguments()
    # Not in this repository: the storage view shows where the blobs are.
    data = Path(tempfile.mkdtemp(prefix="agent-"))
    data.chmod(0o711)  # PostgreSQL may run as a user of its own
    failed = ["a mesh"]
    try:
        failed = asyncio.run(take(frozenset(asked.only), data))
    except* ChildFailed as group:
        for failure in group.exceptions:
            say(why_it_failed(failure) if isinstance(failure, ChildFailed) else str(failure))
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return 1 if failed else 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Take the pictures of docs/console from a mesh with calls in it.")
    names = [picture.name for sitting in SITTINGS for picture in sitting.pictures]
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="NAME", help=", ".join(names))
    return parser.parse_args()


async def take(only: Collection[str], data: Path) -> list[str]:
    """Run the mesh and take the pictures; returns the names of those that could not be taken.

    Args:
        only: names of the wanted ones; all of them if empty.
        data: directory of the mesh.
    """
    failed: list[str] = []
    async with open_scene(data, meetings=MEETINGS, progress=say) as scene:
        await scene.begin_to_speak()
        say(f"{TALK_SECONDS:g} s of talk")
        await asyncio.sleep(TALK_SECONDS)
        for sitting in SITTINGS:
            wanted = [picture for picture in sitting.pictures if not only or picture.name in only]
            if wanted:
                failed += await sit(sitting, wanted, scene)
    return failed


async def sit(sitting: Sitting, wanted: Sequence[Picture], scene: Scene) -> list[str]:
    """Open a console and take pictures in it; returns the names of those that could not be taken."""
    failed: list[str] = []
    environment = {
        "COLORTERM": "truecolor", "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "gen"))),
        "SERVICE_API_KEYS": scene.mesh.keys.service,
    }  # fmt: skip
    command = [sys.executable, "-m", "tui", "--target", scene.target, *sitting.arguments]
    opening = open_tmux(command, columns=sitting.columns, lines=sitting.lines, environment=environment)
    async with opening as terminal:
        await terminal.shows("CONNECTED", "service:", seconds=_SHOWN_SECONDS)
        await asyncio.sleep(_SAMPLES_SECONDS)
        with standing_still(scene.mesh.pids["gateway"]) if sitting.away else contextlib.nullcontext():
            for picture in wanted:
                try:
                    for keys, shown in picture.steps:
                        await (terminal.press(keys) if keys in KEYS else terminal.write(keys))
                        await terminal.shows(*shown, seconds=_SHOWN_SECONDS)
                        await asyncio.sleep(_REST_SECONDS)  # a view asks for what it shows after it is drawn
                    path = write_png(picture.name, sitting.columns, await terminal.screen(colours=True))
                    say(f"{path.relative_to(ROOT)}, {path.stat().st_size // 1_000} kB")
                except AssertionError as error:
                    failed.append(picture.name)
                    say(f"{picture.name}: {error}")
    return failed


@contextlib.contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Stop a process for the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def write_png(name: str, columns: int, screen: str) -> Path:
    """Write a terminal's screen as a picture; returns its path.

    Raises:
        AssertionError: the picture is too large to be shipped.
    """
    recorder = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in AnsiDecoder().decode(screen):  # one decoder: colours go on over the ends of lines
        recorder.print(line, no_wrap=True, crop=True)
    path = PICTURES / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        drawing, raw = Path(folder) / "screen.svg", Path(folder) / "screen.png"
        drawing.write_text(plain_fonts(recorder.export_svg(title="agent-console")), encoding="utf-8")
        width, height = size_of(drawing.read_text(encoding="utf-8"))
        for scale in (1.0, 0.85, 0.7):
            # rsvg-convert loses leading blanks, and others have no second font for what the first one lacks.
            _run(
                "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--default-background-color=00000000", f"--force-device-scale-factor={scale}",
                f"--user-data-dir={folder}/profile", f"--window-size={width},{height}", f"--screenshot={raw}",
                f"file://{drawing}",
            )  # fmt: skip
            _run("pngquant", "--force", "--speed", "1", "--nofs", "--output", str(path), "96", str(raw))
            if path.stat().st_size <= _MOST_BYTES:
                return path
    raise AssertionError(f"{path.name} has {path.stat().st_size} bytes")


def plain_fonts(drawing: str) -> str:
    """Take out the addresses of fonts of others, and ligatures: a terminal has none."""
    drawing = re.sub(r"@font-face \{.*?\}", "", drawing, flags=re.DOTALL)
    return drawing.replace("font-variant-east-asian: full-width;", "font-variant-ligatures: none;")


def size_of(drawing: str) -> tuple[int, int]:
    """Return width and height of a drawing, in pixels."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)
    assert found is not None, "a drawing without a size"
    return int(float(found[1])), int(float(found[2]))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


def say(sentence: str) -> None:
    """Tell how it goes."""
    print(f"console-pictures: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
