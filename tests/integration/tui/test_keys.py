"""Keys: those that arrive at once, those that walk among the views, those about several rows or a whole table."""

import asyncio
from pathlib import Path

from textual.widgets import Input

from tests.fakes.console_server import SERVICE_KEY, running_console
from tests.integration.tui.a_busy_mesh import MEETING, a_busy_mesh
from tests.integration.tui.running import RunningConsole, running_app
from tests.kit_server import eventually
from tui.client import Patience
from tui.screens.confirm import Confirm
from tui.screens.session import Session
from tui.widgets.sheet_table import SheetTable

ENTER, TAB = "\r", "\t"


async def operating(console: RunningConsole) -> None:
    await console.shows("ana · operator", "CONNECTED")
    await eventually(lambda: console.app.view.may_act, 10)


async def test_keys_that_arrive_in_one_read_go_where_the_keys_before_them_lead() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await operating(console)
        console.types("/zoom quirk")
        await console.shows("/zoom quirk", "no session matches")
        await console.pilot.press("escape")
        await console.hides("/zoom quirk")
        console.types(f":queue{ENTER}xdeliver")  # r in the name is no order: the question is open before it is read
        await console.shows("Type deliver to confirm")
        await eventually(lambda: console.app.screen.query_one("#typed", Input).value == "deliver", 30)
        assert gateway.desk.actions == []
        console.types(f"{TAB}crm is back{ENTER}")
        await console.shows("3 of 3 done")
        assert {request.reason for request in gateway.desk.actions} == {"crm is back"}
        console.types(f"2/board{ENTER}{ENTER}")  # a view that is new, its filter, and the session that is left
        await console.shows("the hiring plan", "via sberjazz")
        assert isinstance(console.app.screen, Session)
        assert not console.app.view.filter  # a detail has a filter of its own
        console.types(f"2/weekly{ENTER}r")  # the order is about the row that the filter left
        await eventually(lambda: len(gateway.desk.actions) == 4)
        assert gateway.desk.actions[-1].target.endswith("weekly1")


async def test_q_goes_back_and_brackets_walk_among_the_views() -> None:
    async with running_console(a_busy_mesh()) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("3", "4", "2", "enter")
        await console.shows("the hiring plan")
        await console.pilot.press("q")
        await console.shows("sessions 2")
        for key, place in (
            ("q", "breakers"),
            ("left_square_bracket", "queues"),
            ("right_square_bracket", "breakers"),
            ("minus", "queues"),
            ("minus", "breakers"),
            ("1", "overview"),
        ):
            await console.pilot.press(key)
            assert console.app.current_mode == place
            assert console.app.view.place == place
        await console.pilot.press(*"qqqqqqqqqqqq")
        await console.shows("leaves the console")
        assert console.app.is_running


async def test_marked_dead_letters_are_one_order_with_one_reason() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("3")
        await console.shows("jobs 3")
        await console.pilot.press("tab", "v", "v")
        await console.shows("✓ 2 marked")
        await console.pilot.press("Y")
        assert console.app.clipboard == "agent-console dlq requeue deliver job-00000881 job-00000882"
        await console.pilot.press("r")
        await console.shows("Requeue marked dead letters", "2 dead letters of deliver will be tried again")
        await console.pilot.press(*"crm fixed", "enter")
        await console.shows("2 of 2 done", "jobs 1")
        acts = [(act.action, act.target, act.expected_state, act.reason) for act in gateway.desk.actions]
        assert acts == [
            ("job.requeue", "deliver/job-00000881", "dead", "crm fixed"),
            ("job.requeue", "deliver/job-00000882", "dead", "crm fixed"),
        ]
        await console.pilot.press("V", "x")
        await console.shows("Drop marked dead letters", "1 dead letter of deliver", "Type deliver to confirm")
        await console.pilot.press("escape", "V")
        await console.hides("marked")
        assert len(gateway.desk.actions) == 2


async def test_a_panel_is_zoomed_and_columns_are_wide() -> None:
    async with running_console(a_busy_mesh()) as server, running_app(server.address, size=(80, 24)) as console:
        await console.shows("sessions 2", "rooms 4", "LAG p95")
        await console.pilot.press("z")
        await console.hides("rooms 4")
        await console.shows("sessions 2", "1Overview", "ana · operator")
        await console.pilot.press("w", "right", "right")
        await console.shows("wide, 20 of")
        await console.pilot.press(*["right"] * 12)
        await console.shows("NOTE", "packet loss 6 %")
        await console.pilot.press("w", "escape")
        await console.shows("rooms 4", "STATE", "LAG p95")


async def test_ctrl_r_asks_at_once_and_a_new_key_in_the_file_is_taken_up(tmp_path: Path) -> None:
    gateway, key = a_busy_mesh(), tmp_path / "key"
    key.write_text("expired")
    slow = Patience(first_pause_seconds=500.0, longest_pause_seconds=500.0)
    async with running_console(gateway) as server:
        port = server.port
        async with running_app(server.address, key="expired", key_file=key, patience=slow, size=(200, 40)) as console:
            await console.shows("REFUSED", "does not know the key", "it is taken up at once")
            key.write_text(SERVICE_KEY)
            await console.shows("CONNECTED", "ana · operator")
            await console.pilot.press("ctrl+r")  # a stream that works is replaced
            await eventually(lambda: len(gateway.requests) == 2)
            await operating(console)
            await server.drain(0)
            await console.shows("OFFLINE", "attempt 1 in")
            async with running_console(a_busy_mesh(), port=port):
                await console.pilot.press("question_mark")  # from anywhere
                async with asyncio.timeout(20):
                    while console.app.view.link_state != "live":
                        await console.pilot.press("ctrl+r")
                        await console.pilot.pause(0.3)  # the channel itself does not dial more often


async def test_a_service_key_acts_for_the_tenant_that_was_named() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address, tenant="acme") as console:
        await console.shows("ana · operator · tenant acme")
        await eventually(lambda: console.app.view.may_act, 10)
        await console.pilot.press("8", "b")
        await console.shows("Done: rebuild")
        assert gateway.desk.tenants == {"acme"}


async def test_a_dialog_waits_for_the_gateway_and_says_so() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address, size=(80, 24)) as console:
        await operating(console)
        await console.pilot.press("2", "x")
        await console.shows("Stop recording")
        await server.drain(0)
        assert isinstance(console.app.screen, Confirm)
        await eventually(lambda: "connection lost" in console.text.partition("Stop recording")[2], 10)
        await console.pilot.press(*MEETING[-8:], "enter")
        await console.shows("no order can be given while the gateway does not answer")
        assert isinstance(console.app.screen, Confirm)
        assert gateway.desk.actions == []
        await console.pilot.press("escape", "question_mark")
        await console.shows("help", "connection lost")


async def test_a_cursor_stays_in_sight_when_its_row_moves() -> None:
    gateway = a_busy_mesh()
    gateway.desk.add_jobs("deliver", *(f"more-{number:04}" for number in range(40)), error="HTTP 500")
    async with running_console(gateway) as server, running_app(server.address, size=(100, 30)) as console:
        await operating(console)
        await console.pilot.press("3", "tab")
        await console.shows("jobs 43")
        jobs = console.app.screen.query_one("#jobs", SheetTable)
        await console.pilot.press("S")
        assert jobs.cursor_row is not None
        await console.shows(jobs.cursor_row.job_id[-8:])
        await console.pilot.resize_terminal(80, 24)
        await console.shows(f"queue={jobs.cursor_row.queue}")
        await console.pilot.press("Y")
        assert jobs._in_sight(jobs._cursor_index)
