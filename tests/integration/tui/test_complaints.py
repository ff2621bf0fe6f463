"""What people complain about in other consoles, one test each: this console does not do it."""

import pytest

from agent.console.v1 import console_service_pb2 as pb
from tests.fakes.console_server import running_console
from tests.integration.tui.a_busy_mesh import MEETING, a_busy_mesh, segment
from tests.integration.tui.running import RunningConsole, running_app
from tests.kit_server import eventually
from tui.app import ConsoleApp
from tui.condition import _BREAKERS, _ROOMS, _SESSIONS
from tui.glyphs import ASCII, UNICODE
from tui.screens.confirm import Confirm
from tui.screens.view_screen import ViewScreen
from tui.widgets.table import LiveTable
from tui.widgets.transcript_log import TranscriptLog

_IRREVOCABLE = {("2",): MEETING[-8:], ("2", "enter"): MEETING[-8:], ("3",): "deliver", ("3", "tab"): "deliver"}
"""Where something can be destroyed, and the name that has to be typed there."""


async def operating(console: RunningConsole) -> None:
    await console.shows("ana · operator", "CONNECTED")
    await eventually(lambda: console.app.view.may_act, 10)


def order_keys(app: ConsoleApp) -> list[str]:
    """Return the keys of the screen that change something in the mesh."""
    screen = app.screen
    assert isinstance(screen, ViewScreen)
    bindings = screen.active_bindings.values()
    return [active.binding.key for active in bindings if active.binding.action in screen.ORDERS]


async def test_no_key_destroys_anything_without_its_name_typed_out() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await operating(console)
        for keys, name in _IRREVOCABLE.items():
            await console.pilot.press(*keys)
            await console.shows("Board prep" if keys[0] == "2" else "jobs 3")
            await console.pilot.press("x", "enter", "enter")
            await console.shows("that is not the name", f"Type {name} to confirm")
            await console.pilot.press(*name[:-1], "enter", "tab", "enter")
            assert isinstance(console.app.screen, Confirm)
            await console.pilot.press("escape", "q")
        assert gateway.desk.actions == []


async def test_read_only_holds_on_every_view_for_every_key_and_every_command() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address, read_only=True) as console:
        await console.shows("ana · read-only", "CONNECTED")
        tried = 0
        for place in "123456789":
            await console.pilot.press(place)
            for _ in range(len(console.app.screen.focus_chain)):
                keys = order_keys(console.app)
                await console.pilot.press("V", *keys, "tab")
                tried += len(keys)
                assert isinstance(console.app.screen, ViewScreen)
        assert tried > 10
        await console.pilot.press("2", "enter", "r", "x", "q")
        for command in ("join m-1", "reconcile", "live-pull", f"rebuild {MEETING}"):
            await console.pilot.press("colon", *command, "enter")
            await console.shows("this console is read-only")
        assert gateway.desk.actions == []


async def test_a_log_stays_where_it_was_scrolled_to_and_columns_where_they_were_moved() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address, size=(80, 24)) as console:
        await operating(console)
        await console.pilot.press("w", "right", "right")
        await console.shows("wide, 20 of")
        moved = console.sessions.shift
        gateway.put(
            pb.ConsoleSession(meeting_id="m-9", title="Just begun", state="FAILED", provider="room", note="no audio")
        )
        await console.shows("sessions 3")
        assert console.sessions.shift == moved
        assert "STATE" not in console.text.partition("rooms")[0]  # its heading is off on the left
        await console.pilot.press("2", "down", "enter")
        await console.shows("FOLLOW on", "Kai")
        await console.pilot.press("pageup", "pageup")
        log = console.app.screen.query_one(TranscriptLog)
        top = log.scroll_offset.y
        for number in range(50, 80):
            gateway.desk.say(segment(number, "Noor", f"line {number} comes in"))
        await console.shows("70 lines")
        await console.pilot.resize_terminal(80, 25)
        await console.shows("FOLLOW off")
        assert log.scroll_offset.y == top
        assert "comes in" not in console.text


async def test_every_table_is_sorted_by_any_of_its_columns_either_way() -> None:
    async with running_console(a_busy_mesh()) as server, running_app(server.address) as console:
        await operating(console)
        for place in "12345678":
            await console.pilot.press(place)
            await eventually(lambda: bool(console.app.screen.query(LiveTable)))
            for table in console.app.screen.query(LiveTable):
                assert {column.name for column in table._columns} <= table.orders.keys()
        await console.pilot.press("2")
        for order, first in (("words", "3,023"), ("words desc", "812"), ("via", "room"), ("level", "Board prep")):
            await console.pilot.press("colon", *f"sort {order}", "enter")
            await console.shows(f"sort {order.partition(' ')[0]}")
            assert first in console.text.splitlines()[4], console.text
        await console.pilot.press("S")
        await console.shows("sort level backwards")
        await console.pilot.click(LiveTable, offset=(5, 1))
        await console.shows("sort state")


async def test_a_server_that_goes_away_neither_ends_nor_hangs_the_console() -> None:
    async with running_console(a_busy_mesh()) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("3")
        await console.shows("HTTP 503 from crm.example")
        await server.drain(0)
        await console.shows("OFFLINE", "connection lost", "showing data", "attempt", "HTTP 503 from crm.example")
        await console.pilot.press("8")
        await console.shows("connection lost", "OFFLINE")
        await console.pilot.press("2", "enter")
        await console.shows("connection lost", "Board prep")
        await console.pilot.press("r", "x", "question_mark")
        await console.shows("help", "connection lost")
        await console.pilot.press("ctrl+q")
        await eventually(lambda: not console.app.is_running)


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_no_two_states_differ_by_colour_alone(glyphs: object) -> None:
    for states in (_SESSIONS, _ROOMS, _BREAKERS):
        words = {condition.word for condition in states.values()}
        assert len(words) == len(states)
        by_colour: dict[str, set[str]] = {}
        for condition in states.values():
            by_colour.setdefault(condition.mark(glyphs), set()).add(condition.style)  # type: ignore[arg-type]
        assert all(len(styles) <= 2 for styles in by_colour.values())


async def test_every_order_shows_its_command_line_and_leaves_a_status_that_is_true() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("3")
        await console.shows("jobs 3")
        await console.pilot.press("tab")
        console.types("rrr")  # faster than the answer
        await console.shows("agent-console dlq requeue deliver job-00000881")
        await console.hides("│ ✖ DEAD    00000881")
        targets = [act.target for act in gateway.desk.actions]
        assert len(targets) == len(set(targets))  # nothing was ordered twice
        assert "Cannot" not in console.text
        await console.pilot.press("x")
        await console.shows("the same: agent-console dlq drop deliver job-", "--yes-drop")
