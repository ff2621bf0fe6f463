"""Colours and characters: what each terminal can show, on every view."""

import pytest

from tests.fakes.console_server import running_console
from tests.integration.tui.a_busy_mesh import a_busy_mesh
from tests.integration.tui.running import running_app
from tests.kit_server import eventually
from tui.glyphs import ASCII
from tui.theme import ThemeWish, theme_name
from tui.widgets.nav import VIEWS

_CELLS = {  # on each view, something whose state is a glyph and a word
    "overview": "▲ DEGRADED",
    "sessions": "▲ DEGRADED",
    "queues": "✖ DEAD",
    "breakers": "◐ HALF-OPEN",
    "services": "▲ NOT READY",
    "storage": "✖ FAILED",
    "audit": "✖ DENY",
    "meetings": "LIVE",
}


@pytest.mark.parametrize("theme", ["dark", "light", "ansi"])
async def test_a_state_is_a_word_in_every_theme_and_without_colours(
    theme: ThemeWish, monkeypatch: pytest.MonkeyPatch
) -> None:
    if theme == "dark":
        monkeypatch.setenv("NO_COLOR", "1")
    async with running_console(a_busy_mesh()) as server, running_app(server.address, theme=theme) as console:
        await console.shows("ana · operator", "CONNECTED")
        assert console.app.theme == theme_name(theme, None)
        for key, place in VIEWS.items():
            if place in _CELLS:
                await console.pilot.press(key)
                await console.shows(_CELLS[place])
        colours = {
            segment.style.color.name
            for strip in console.strips
            for segment in strip
            if segment.style is not None and segment.style.color is not None
        }
        if theme == "ansi":  # the terminal's own, whatever they are
            assert not any(colour.startswith("#") for colour in colours), colours


async def test_ascii_is_ascii_on_every_view_detail_dialog_and_notice() -> None:
    async with (
        running_console(a_busy_mesh()) as server,
        running_app(server.address, size=(80, 24), glyphs=ASCII) as console,
    ):
        await console.shows("ana - operator")
        await eventually(lambda: console.app.view.may_act, 30)
        for keys, shown in (
            (["z", "w"], "wide"),
            (["escape", "2", "enter"], "HEARD"),
            (["q", "x"], "Stop recording"),
            (["escape", "3", "tab", "V"], "marked"),
            (["x"], "Drop marked"),
            (["escape", "question_mark"], "help"),
            (["escape", "4", "r"], "Done: reset"),
            (["slash", *"open"], "/open"),
        ):
            await console.pilot.press(*keys)
            await console.shows(shown)
            assert console.text.isascii(), {character for character in console.text if not character.isascii()}
