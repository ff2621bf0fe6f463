"""Pictures of the views: any change of looks is seen in a review."""

import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.widgets import Footer

from tests.fakes.console_server import running_console
from tests.integration.tui.a_busy_mesh import a_busy_mesh
from tests.integration.tui.running import RunningConsole, running_app
from tests.integration.tui.snapshots import KEPT, compare
from tests.kit_server import eventually
from tui.client import Patience
from tui.screens.session import Session
from tui.store import Tables
from tui.vitals import Vitals

_ONE_ATTEMPT = Patience(first_pause_seconds=500.0, longest_pause_seconds=500.0)
_LARGE, _SMALL = (140, 40), (80, 24)


class StillVitals(Vitals):
    """Half a minute of an even mesh, whenever one looks."""

    def sample(self, tables: Tables, at: float) -> None:
        self.series.clear()
        self._written.clear()
        for second in range(30):
            super().sample(tables, float(second))


@asynccontextmanager
async def a_still_console(size: tuple[int, int]) -> AsyncIterator[RunningConsole]:
    """Open a console in which nothing moves by itself."""
    async with (
        running_console(a_busy_mesh()) as server,
        running_app(server.address, size=size, patience=_ONE_ATTEMPT, named="prod-eu") as console,
    ):
        console.app.view.vitals = StillVitals()
        await console.shows("ana · operator", "CONNECTED")
        await eventually(lambda: console.app.view.may_act and console.app.view.vitals.now.sessions == 2, 10)
        yield console


async def settled(console: RunningConsole, *pieces: str) -> None:
    """Wait until these are shown and two looks in a row are alike."""
    await console.shows(*pieces)
    await eventually(
        lambda: bool(console.app.screen.query(Footer)) is False or bool(console.app.screen.query_one(Footer).children)
    )
    before = ""
    while before != (before := _still(console.text)):
        for screen in console.app.screen_stack:
            for canvas in screen.query("LiveCanvas"):
                canvas.pulse()  # type: ignore[attr-defined]
        await console.pilot.pause(0.3)


def _still(text: str) -> str:
    return re.sub(r"\d\d:\d\d:\d\dZ|\d+ s\b", "", text)


VIEWS = [
    ("overview-140x40", _LARGE, [], ["LAG p95", "packet loss 6 %", "DEAD"]),
    ("overview-80x24", _SMALL, [], ["LAG p95", "packet loss 6 %"]),
    ("sessions", _LARGE, ["2"], ["sessions 2", "x Leave", "meeting_id="]),
    ("session", _LARGE, ["2", "enter"], ["the hiring plan", "LOSSY", "13m32", "40 lines"]),
    ("queues", _LARGE, ["3", "tab", "v"], ["jobs 3", "1 marked", "HTTP 413", "v Mark"]),
    ("breakers", _LARGE, ["4"], ["HTTP 502 from sberjazz", "stale for 42 s", "r Reset"]),
    ("meetings", _LARGE, ["8"], ["Retro sprint 31", "webhook", "b Rebuild"]),
    ("confirm", (100, 30), ["3", "x"], ["Type deliver to confirm", "--yes-drop"]),
]


@pytest.mark.parametrize(("name", "size", "keys", "pieces"), VIEWS, ids=[view[0] for view in VIEWS])
async def test_a_view_looks_as_it_did(name: str, size: tuple[int, int], keys: list[str], pieces: list[str]) -> None:
    async with a_still_console(size) as console:
        for key in keys:
            await console.pilot.press(key)
            if key == "3":
                await console.shows("jobs 3")
        if isinstance(console.app.screen, Session):
            console.app.screen._sampled_at = math.inf
            console.app.screen._lags.clear()
        await settled(console, *pieces)
        compare(console.app, name)


async def test_a_lost_gateway_looks_as_it_did() -> None:
    async with (
        running_console(a_busy_mesh()) as server,
        running_app(server.address, size=(100, 30), patience=_ONE_ATTEMPT, named="prod-eu") as console,
    ):
        console.app.view.vitals = StillVitals()
        await console.shows("ana · operator", "CONNECTED")
        await eventually(lambda: console.app.view.vitals.now.sessions == 2, 10)
        await server.drain(0)
        await settled(console, "connection lost", "packet loss 6 %", "OFFLINE")
        compare(console.app, "offline")


def test_no_picture_names_another_host() -> None:
    for kept in KEPT.glob("*.svg"):
        picture = kept.read_text(encoding="utf-8")
        assert not re.search(r"font-face|(href|src)\s*=|url\([\"']?\w+:|@import", picture), kept.name
