"""The console against a real server, without a terminal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual._xterm_parser import XTermParser
from textual.pilot import Pilot

from tests.fakes.console_server import SERVICE_KEY
from tests.kit_server import eventually
from tui.app import ConsoleApp
from tui.client import Patience, Watch, open_watch
from tui.connection import Connection
from tui.desk import open_desk
from tui.glyphs import UNICODE, Glyphs
from tui.store import Store
from tui.theme import ThemeWish
from tui.view import View
from tui.widgets.sessions import SessionsTable

BRIEF = Patience(stale_seconds=4.0, silence_seconds=10.0, first_pause_seconds=0.05, longest_pause_seconds=0.2)


@dataclass(frozen=True)
class RunningConsole:
    """An app that a test presses keys in."""

    app: ConsoleApp
    pilot: Pilot[None]
    watch: Watch

    @property
    def text(self) -> str:
        """What the terminal shows."""
        return "\n".join("".join(segment.text for segment in line) for line in self.strips)

    @property
    def strips(self) -> list[Any]:
        """The lines of the terminal with their styles."""
        return list(self.app.screen._compositor.render_strips())

    async def shows(self, *pieces: str, seconds: float = 30.0) -> None:
        """Wait until the terminal shows all of these."""
        try:
            await eventually(lambda: all(piece in self.text for piece in pieces), seconds)
        except TimeoutError:
            raise AssertionError(f"never shown: {pieces}\n{self.text}") from None

    async def hides(self, piece: str, seconds: float = 30.0) -> None:
        """Wait until the terminal does not show this."""
        try:
            await eventually(lambda: piece not in self.text, seconds)
        except TimeoutError:
            raise AssertionError(f"still shown: {piece}\n{self.text}") from None

    def types(self, text: str) -> None:
        """Let keys arrive as one read of the terminal, as they do over SSH."""
        for event in XTermParser().feed(text):
            self.app.post_message(event)

    @property
    def sessions(self) -> SessionsTable:
        """The table of sessions."""
        return self.app.screen_stack[0].query_one(SessionsTable)


@asynccontextmanager
async def running_app(
    target: str,
    *,
    key: str | None = SERVICE_KEY,
    size: tuple[int, int] = (140, 40),
    glyphs: Glyphs = UNICODE,
    patience: Patience = BRIEF,
    theme: ThemeWish = "dark",
    read_only: bool = False,
    tenant: str = "",
    key_file: Path | None = None,
    named: str = "",
) -> AsyncIterator[RunningConsole]:
    """Open the console for the block; the gateway is called `named` on the screen, if that is given."""
    store = Store(ascii_only=glyphs.is_ascii)
    connection = Connection(target, key, "--key" if key else "", key_file=key_file, tenant=tenant)
    async with (
        open_desk(connection, ascii_only=glyphs.is_ascii) as desk,
        open_watch(connection, store, max_hz=10, patience=patience) as watch,
    ):
        view = View(
            store, watch.link, target=named or target, glyphs=glyphs, desk=desk, read_only=read_only, tenant=tenant
        )
        app = ConsoleApp(view, theme=theme, screen_hz=20, connect_now=watch.again)
        async with app.run_test(size=size, notifications=True) as pilot:
            yield RunningConsole(app, pilot, watch)
