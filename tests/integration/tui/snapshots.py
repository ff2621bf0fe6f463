"""Pictures of the console that are kept beside the tests and compared, with what varies by nature taken out."""

import os
import re
from pathlib import Path

from textual.app import App

KEPT = Path(__file__).parent / "snapshots"
DIFFERENT = Path(__file__).parents[3] / "build" / "snapshots"

_WITHOUT = (
    re.compile(r"<!--.*?-->\s*", re.DOTALL),
    re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL),  # fonts of another host: not ours to name
)
_ALIKE = (
    (re.compile(r"terminal-\d+"), "terminal"),
    (re.compile(r"\d\d:\d\d:\d\dZ"), "10:33:25Z"),
    (re.compile(r"(data|in)&#160;\d+&#160;s"), r"\1&#160;0&#160;s"),
)


def normalised(picture: str) -> str:
    """Return an exported screen without fonts, links, clocks and what is numbered anew each time."""
    for away in _WITHOUT:
        picture = away.sub("", picture)
    for varying, fixed in _ALIKE:
        picture = varying.sub(fixed, picture)
    return "\n".join(line.rstrip() for line in picture.strip().splitlines()) + "\n"


def compare(app: App[None], name: str) -> None:
    """Compare the screen with the picture that is kept; with UPDATE_SNAPSHOTS=1 keep it as it is now.

    Raises:
        AssertionError: it looks different; the message says where the new picture lies and how to accept it.
    """
    picture, kept = normalised(app.export_screenshot(title="agent-console")), KEPT / f"{name}.svg"
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        KEPT.mkdir(exist_ok=True)
        kept.write_text(picture, encoding="utf-8")
        return
    if kept.exists() and kept.read_text(encoding="utf-8") == picture:
        return
    DIFFERENT.mkdir(parents=True, exist_ok=True)
    new = DIFFERENT / f"{name}.svg"
    new.write_text(picture, encoding="utf-8")
    raise AssertionError(
        f"{name} looks different: compare {new.relative_to(DIFFERENT.parents[1])} with "
        f"{kept.relative_to(DIFFERENT.parents[1])}; if it is meant to, run this test with UPDATE_SNAPSHOTS=1"
    )
