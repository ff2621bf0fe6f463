"""The overview, driven by keys, over a real stream."""

import re

import pytest
from textual.widgets import Footer

from agent.console.v1 import console_service_pb2 as pb
from tests.fakes.console_server import USER_KEY, ConsoleGateway, running_console
from tests.integration.tui.running import BRIEF, running_app
from tests.kit_server import eventually
from tui.client import Patience
from tui.glyphs import ASCII
from tui.screens.help import Help
from tui.screens.overview import Overview
from tui.screens.view_screen import ViewScreen
from tui.widgets.filter_line import FilterLine
from tui.widgets.table import LiveTable


def session(meeting_id: str, **changes: object) -> pb.ConsoleSession:
    values: dict[str, object] = {
        "title": f"Meeting {meeting_id}",
        "state": "LIVE",
        "provider": "room",
        "tracks": 2,
        "lag_ms": 1200,
        "words": 300,
        "age_seconds": 60,
    }
    return pb.ConsoleSession(meeting_id=meeting_id, **{**values, **changes})  # type: ignore[arg-type]


def a_mesh() -> ConsoleGateway:
    return ConsoleGateway(
        session("m-live"),
        session("m-failed", state="FAILED", note="media never came"),
        session("m-stalled", state="STALLED", title="Собеседование"),
        pb.ConsoleRoom(
            room="ingest", state="serving", pid=4105, uptime_seconds=431, memory_mib=141, detail="3 streams"
        ),
        pb.ConsoleRoom(room="report", state="away", error="cannot be reached"),
        pb.ConsoleQueue(queue="deliver", depth=7, dead=3),
        pb.ConsoleBreaker(name="smtp", state="open", failures=5, threshold=5, since_seconds=94),
    )


async def test_the_snapshot_is_shown_worst_first() -> None:
    async with running_console(a_mesh()) as server, running_app(server.address) as console:
        await console.shows("CONNECTED", "FAILED", "media never came", "AWAY", "cannot be reached", "deliver", "smtp")
        assert console.sessions.keys == ["m-failed", "m-stalled", "m-live"]
        await console.shows("1 ● of 3", "7 ✖ dead 3", "1 ✖ of 1", "1 ✖ of 2")


async def test_a_large_snapshot_arrives_in_pages_and_is_shown_whole() -> None:
    gateway = ConsoleGateway(*(session(f"m-{number:03}") for number in range(120)), page_rows=50)
    gateway.holding_pages.clear()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await eventually(lambda: console.watch.store.in_snapshot)
        await console.shows("sessions 0", "CONNECTING")
        gateway.holding_pages.set()
        await console.shows("sessions 120", "CONNECTED")


async def test_a_delta_changes_a_row_adds_one_and_takes_one_away() -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await console.shows("sessions 3")
        await eventually(lambda: gateway.watched)
        gateway.put(session("m-live", state="DEGRADED", note="packet loss 6 %"), session("m-new"))
        await console.shows("packet loss 6 %", "sessions 4")
        gateway.remove("sessions/m-failed")
        await console.hides("media never came")
        await console.shows("sessions 3")


async def test_the_cursor_stays_with_its_session_when_the_order_changes() -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await console.shows("sessions 3")
        await console.pilot.press("down", "down")
        assert console.sessions.cursor_key == "m-live"
        await eventually(lambda: gateway.watched)
        gateway.put(session("m-live", state="FAILED", age_seconds=900))
        await eventually(lambda: console.sessions.keys[0] == "m-live")
        assert console.sessions.cursor_key == "m-live"
        await console.pilot.press("s")
        await console.shows("sort lag")
        assert console.sessions.cursor_key == "m-live"


async def test_a_lost_gateway_leaves_the_data_on_screen_and_is_found_again() -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server:
        port = server.port
        async with running_app(server.address) as console:
            await console.shows("CONNECTED", "m-failed")
            await server.drain(0)
            await console.shows("OFFLINE", "connection lost", "showing data", "attempt", "m-failed")
            again = ConsoleGateway(session("m-after"))
            async with running_console(again, port=port):
                await console.shows("CONNECTED", "m-after")
                await console.hides("connection lost")
                await console.hides("m-failed")
                assert console.watch.link.attempt == 0


async def test_a_silent_gateway_is_called_stale_and_then_given_up() -> None:
    gateway = ConsoleGateway(session("m-1"), heartbeat_seconds=None)
    patience = Patience(stale_seconds=0.3, silence_seconds=1.5, first_pause_seconds=0.05, longest_pause_seconds=0.1)
    async with running_console(gateway) as server, running_app(server.address, patience=patience) as console:
        await console.shows("STALE", "no word from the gateway", "m-1")
        await eventually(lambda: len(gateway.requests) > 1)


async def test_a_missing_frame_brings_a_new_snapshot() -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await console.shows("sessions 3")
        await eventually(lambda: gateway.watched)
        gateway.put_behind_a_gap(session("m-behind"))
        await console.shows("sessions 4", "CONNECTED")
        assert len(gateway.requests) == 2


async def test_a_gateway_that_ends_the_stream_is_asked_again() -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await eventually(lambda: gateway.watched)
        gateway.hang_up()
        await eventually(lambda: len(gateway.requests) == 2)
        await console.shows("CONNECTED")


@pytest.mark.parametrize(
    ("key", "sentence", "exit_code"),
    [
        ("wrong", "does not know the key from --key", 4),
        (None, "wants a key and none was given", 4),
        (USER_KEY, "may not watch the mesh", 5),
    ],
)
async def test_a_refusal_is_a_sentence_and_ends_the_attempts(key: str | None, sentence: str, exit_code: int) -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server, running_app(server.address, key=key, size=(200, 40)) as console:
        await console.shows("REFUSED", sentence, "then start again")
        refusal = console.watch.link.refusal
        assert refusal is not None
        assert refusal.exit_code == exit_code
        assert gateway.requests == []


async def test_hostile_text_is_only_text_wherever_it_stands() -> None:
    hostile = "\x1b]0;PWNED\x07\x9b31m\u202e[@click=app.quit]x[/][bold"
    gateway = ConsoleGateway(
        pb.ConsoleSession(meeting_id=hostile, title=hostile, state=hostile, provider=hostile, note=hostile),
        pb.ConsoleRoom(room=hostile, state=hostile, version=hostile, detail=hostile, error=hostile),
        pb.ConsoleQueue(queue=hostile, error=hostile),
        pb.ConsoleBreaker(name=hostile, state=hostile),
    )
    async with running_console(gateway) as server, running_app(server.address, size=(240, 50)) as console:
        await console.shows("PWNED", "[@click=app.quit]x[/][bold")
        await console.pilot.press("y")  # the id goes into a notification
        await console.shows("copied")
        await console.pilot.press("tab", "y", "tab", "y", "tab", "y", "slash", *"[bold")
        await console.shows("/[bold")
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", console.text)
        clickable = [segment for strip in console.strips for segment in strip if "@click" in str(segment.style)]
        assert clickable == []


async def test_the_filter_takes_keys_that_come_at_once_and_escape_clears_it() -> None:
    async with running_console(a_mesh()) as server, running_app(server.address) as console:
        await console.shows("sessions 3")
        await console.pilot.press("slash", *"!stalled q")
        await console.shows("sessions 0 of 3 /!stalled q", "no session matches")
        await console.pilot.press("backspace", "backspace", "enter")
        await console.shows("sessions 2 of 3 /!stalled")
        assert not console.app.screen.query_one(FilterLine).display
        await console.pilot.press("escape")
        await console.shows("sessions 3")


async def test_pause_freezes_the_screen_while_the_stream_goes_on() -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await console.shows("sessions 3")
        await eventually(lambda: gateway.watched)
        await console.pilot.press("space")
        gateway.put(session("m-new"))
        await eventually(lambda: "m-new" in console.watch.store.tables.sessions)
        await console.shows("PAUSED", "sessions 3")
        await console.pilot.press("space")
        await console.shows("sessions 4")
        await console.hides("PAUSED")


async def test_the_help_names_every_key_that_is_bound() -> None:
    async with running_console(a_mesh()) as server, running_app(server.address) as console:
        await console.shows("sessions 3")
        await console.pilot.press("question_mark")
        await console.shows("copy the row's id", "freeze the screen", "quit from anywhere")
        assert isinstance(console.app.screen, Help)
        bound = [*LiveTable.BINDINGS, *ViewScreen.BINDINGS, *vars(Overview)["BINDINGS"], *type(console.app).BINDINGS]
        named = sum(len(keys) for _, keys in console.app.screen.groups)
        assert named == len(bound)
        await console.pilot.press("escape")
        await eventually(lambda: isinstance(console.app.screen, Overview))


async def test_the_footer_offers_only_what_works() -> None:
    async with running_console(a_mesh()) as server, running_app(server.address) as console:
        await console.shows("sessions 3")
        await eventually(lambda: bool(console.app.screen.query_one(Footer).children))
        await console.shows("s Sort", "/ Filter", ": Command", "enter Open", "space Pause", "? Help", "q Quit")


@pytest.mark.parametrize(
    "keys", [["colon", "q", "enter"], ["ctrl+q"], ["question_mark", "ctrl+q"], ["slash", "ctrl+q"]]
)
async def test_quit_always_works_even_while_nobody_answers(keys: list[str]) -> None:
    async with running_app("127.0.0.1:1", patience=BRIEF) as console:
        await console.shows("OFFLINE", "cannot be reached")
        await console.pilot.press(*keys)
        await eventually(lambda: not console.app.is_running)


@pytest.mark.parametrize("size", [(80, 24), (120, 32), (140, 40), (190, 50)])
async def test_every_size_shows_all_four_tables(size: tuple[int, int]) -> None:
    async with running_console(a_mesh()) as server, running_app(server.address, size=size) as console:
        await console.shows("m-failed", "AWAY", "deliver", "DEAD", "smtp", "q Quit", "LAG p95", "STATE", "WORDS")


async def test_resizing_to_anything_keeps_it_alive() -> None:
    async with running_console(a_mesh()) as server, running_app(server.address) as console:
        await console.shows("sessions 3")
        for size in ((80, 24), (20, 6), (40, 10), (300, 80), (80, 24)):
            await console.pilot.resize_terminal(*size)
            await eventually(lambda size=size: tuple(console.app.size) == size)
        await console.shows("m-failed", "AWAY", "smtp")


async def test_ascii_draws_with_ascii_only() -> None:
    async with (
        running_console(a_mesh()) as server,
        running_app(server.address, size=(80, 24), glyphs=ASCII) as console,
    ):
        await console.shows("* CONNECTED", "X FAILED", "Sobesedovanie")
        await console.pilot.press("question_mark")
        await console.shows("help")
        assert console.text.isascii(), {character for character in console.text if not character.isascii()}
