"""Every view, driven by keys, over real streams and real answers."""

import re

import pytest
from textual import events
from textual.widgets import Input

from agent.connector.v1 import connector_service_pb2 as connector
from agent.console.v1 import admin_service_pb2 as admin
from agent.console.v1 import console_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.report.v1 import report_service_pb2 as reports
from tests.fakes.console_desk import StateChanged
from tests.fakes.console_server import SERVICE_KEY, VIEWER_KEY, ConsoleGateway, running_console
from tests.integration.tui.a_busy_mesh import MEETING, a_busy_mesh, coverage, interim, levels, segment
from tests.integration.tui.running import RunningConsole, running_app
from tests.kit_server import eventually
from tui.clean import clean
from tui.glyphs import ASCII
from tui.screens.confirm import Confirm
from tui.screens.session import Session
from tui.widgets.filter_line import FilterLine
from tui.widgets.table import LiveTable
from tui.widgets.transcript_log import TranscriptLog

VIEWS = {
    "2": ("Board prep", "DEGRADED", "packet loss 6 %", "r Reconnect"),
    "3": ("deliver", "DEAD", "HTTP 503 from crm.example", "jobs 3", "r Requeue"),
    "4": ("OPEN", "sberjazz", "HTTP 502 from sberjazz", "stale for 42 s", "r Reset"),
    "5": ("ingest", "NOT READY", "FAILED", "DATABASE_URL"),
    "6": ("AccessDenied", "s3://recordings/prod", "31 ms"),
    "7": ("DENY", "vera", "viewers only read", "job.requeue deliver"),
    "8": ("Retro sprint 31", "webhook", "HTTP 503 from crm.example", "b Rebuild"),
}


async def operating(console: RunningConsole) -> None:
    """Wait until the console knows that it may act."""
    await console.shows("ana · operator", "CONNECTED")
    await eventually(lambda: console.app.view.may_act, 10)


async def test_digits_go_to_the_views_and_minus_goes_back() -> None:
    async with running_console(a_busy_mesh()) as server, running_app(server.address) as console:
        await operating(console)
        for key, pieces in VIEWS.items():
            await console.pilot.press(key)
            await console.shows(*pieces)
        await console.pilot.press("minus")
        await console.shows("viewers only read")
        await console.pilot.press("1")
        await console.shows("LAG p95")


@pytest.mark.parametrize("key", VIEWS)
async def test_every_view_fits_80x24_in_ascii(key: str) -> None:
    async with (
        running_console(a_busy_mesh()) as server,
        running_app(server.address, size=(80, 24), glyphs=ASCII) as console,
    ):
        await console.shows("ana - operator")
        await console.pilot.press(key)
        await console.shows(*VIEWS[key][:2], "q Quit")
        assert console.text.isascii(), {character for character in console.text if not character.isascii()}


async def test_a_dead_letter_is_requeued_with_one_key_and_the_state_that_was_seen() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("3")
        await console.shows("jobs 3")
        await console.pilot.press("tab", "r")
        await console.shows("Done: requeue deliver/job-0000088", "jobs 2")
        (request,) = gateway.desk.actions
        assert request.expected_state == "dead"
        assert request.request_id
        assert gateway.desk.jobs[request.target.partition("/")[2]].state == "ready"
        gateway.desk.refusal = StateChanged(expected="dead", actual="running")
        await console.pilot.press("r")
        await console.shows("Did not requeue", "It is running now", "Nothing was changed")


async def test_dead_letters_are_dropped_only_when_the_name_is_typed() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("3")
        await console.shows("jobs 3")
        await console.pilot.press("x")
        await console.shows("Drop dead letters", "3 dead letters of deliver", "Type deliver to confirm")
        assert isinstance(console.app.screen, Confirm)
        assert console.app.screen.query_one(Input).placeholder == ""
        await console.pilot.press(*"report", "enter")
        await console.shows("that is not the name")
        await console.pilot.press("escape")
        await console.shows("r Requeue")
        assert gateway.desk.actions == []
        await console.pilot.press("x")
        await console.shows("Type deliver to confirm")
        await console.pilot.press(*"deliver", "enter")
        await console.shows("3 of 3 done", "no dead letters here")
        assert [job.state for job in gateway.desk.jobs.values()] == ["running"]


async def test_a_breaker_is_reset_and_a_session_reconnected_or_left() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("4")
        await console.shows("HTTP 502 from sberjazz")
        await console.pilot.press("r")
        await console.shows("Done: reset sberjazz")
        await console.pilot.press("2", "r")
        await console.shows("Done: reconnect")
        await console.pilot.press("x")
        await console.shows("Stop recording", "Type 0board01 to confirm")
        await console.pilot.press(*"0board01", "enter")
        await console.shows("Done: leave")
        await console.pilot.press("8")
        await console.shows("webhook")
        await console.pilot.press("tab", "r")
        await console.shows("Done: retry")
        acts = [(request.action, request.target, request.expected_state) for request in gateway.desk.actions]
        assert acts == [
            ("breaker.reset", "sberjazz", "open"),
            ("session.reconnect", MEETING, "DEGRADED"),
            ("session.leave", MEETING, "DEGRADED"),
            ("delivery.retry", f"{MEETING}/d-1", "failed"),
        ]


@pytest.mark.parametrize("read_only", [False, True])
async def test_who_may_not_act_sees_dimmed_keys_that_do_nothing(read_only: bool) -> None:
    gateway = a_busy_mesh()
    key = SERVICE_KEY if read_only else VIEWER_KEY
    async with (
        running_console(gateway) as server,
        running_app(server.address, key=key, read_only=read_only) as console,
    ):
        await console.shows("ana · read-only" if read_only else "vera · viewer")
        await console.pilot.press("3")
        await console.shows("jobs 3", "r Requeue")
        assert console.app.screen.check_action("requeue", ()) is None
        await console.pilot.press("r", "x", "colon", *"reconcile", "enter")
        await console.shows("this console is read-only" if read_only else "this key only looks")
        assert not isinstance(console.app.screen, Confirm)
        assert gateway.desk.actions == []


async def test_orders_are_dimmed_while_the_gateway_is_away() -> None:
    async with running_console(a_busy_mesh()) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("3")
        await console.shows("jobs 3")
        assert console.app.screen.check_action("requeue", ()) is True
        await server.drain(0)
        await console.shows("OFFLINE", "HTTP 503 from crm.example")  # the old rows stay
        assert console.app.screen.check_action("requeue", ()) is None


async def test_the_cursor_of_a_queue_decides_whose_jobs_are_shown() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("3")
        await console.shows("jobs 3 · deliver")
        await console.pilot.press("down")
        await console.shows("jobs 0 · report", "no dead letters here")
        await console.pilot.press("up", "d")
        await console.shows("jobs 4 · deliver", "RUNNING")


async def test_filters_and_sorting_belong_to_their_view() -> None:
    async with running_console(a_busy_mesh()) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("7")
        await console.shows("audit 2")
        await console.pilot.press("slash", *"deny", "enter")
        await console.shows("audit 1 of 2 /deny")
        await console.pilot.press("s")
        await console.shows("sort outcome")
        await console.pilot.press("2")
        await console.shows("sessions 2")
        await console.pilot.press("7")
        await console.shows("audit 1 of 2 /deny")
        await console.pilot.press("escape")
        await console.shows("audit 2")


async def test_commands_go_act_and_say_what_they_do_not_know() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("colon", *"queues rep", "enter")
        await console.shows("queues 1 of 2 /rep")
        await console.pilot.press("colon", *"join m-7 room", "enter")
        await console.shows("Done: join m-7")
        assert gateway.desk.actions[0].provider == "room"
        await console.pilot.press("colon", *"explode", "enter")
        await console.shows("there is no command :explode")
        await console.pilot.press("colon", *"rebuild", "enter")
        await console.shows(":rebuild needs a meeting")
        await console.pilot.press("colon", *"q12", "escape", "colon", "q", "enter")
        await eventually(lambda: not console.app.is_running)


async def test_the_id_and_the_command_line_of_a_row_are_copied() -> None:
    async with running_console(a_busy_mesh()) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("3")
        await console.shows("jobs 3")
        await console.pilot.press("Y")
        assert console.app.clipboard == "agent-console dlq ls deliver"
        await console.pilot.press("tab", "Y")
        assert re.fullmatch(r"agent-console dlq requeue deliver job-0000088\d", console.app.clipboard)
        await console.pilot.press("y")
        assert console.app.clipboard.startswith("job-")
        await console.pilot.press("4", "Y")
        assert console.app.clipboard == "agent-console breaker reset sberjazz"


async def test_a_session_shows_who_is_heard_and_what_is_said_and_follows_until_scrolled() -> None:
    gateway = a_busy_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        await operating(console)
        await console.pilot.press("2", "enter")
        await console.shows("Board prep", "LOSSY", "MUTED", "via sberjazz", "the hiring plan", "FOLLOW on", "13m32")
        assert isinstance(console.app.screen, Session)
        log = console.app.screen.query_one(TranscriptLog)
        gateway.desk.say(levels(Ana=255))
        await console.shows("Ana  ", "━━━━━━━")
        gateway.desk.say(segment(41, "Ana", "good, next point is the hiring plan"))
        gateway.desk.say(segment(42, "Kai", "That was the newest line."))
        await console.shows("That was the newest line.", "42 lines")
        await console.pilot.press("pageup")
        await console.shows("FOLLOW off")
        top = log.scroll_offset.y
        gateway.desk.say(segment(43, "Noor", "Nobody scrolls away from this."))
        await console.shows("43 lines")
        assert log.scroll_offset.y == top
        assert "Nobody scrolls away" not in console.text
        await console.pilot.press("end")
        await console.shows("FOLLOW on", "Nobody scrolls away")
        await console.pilot.press("slash", *"newest", "enter")
        await console.shows("That was the newest line.", "/newest")
        await console.hides("Nobody scrolls away")
        await console.pilot.press("escape")
        await console.shows("Nobody scrolls away")
        await console.pilot.press("escape")
        await console.shows("sessions 2")
        await eventually(lambda: gateway.desk.watchers == 0)


async def test_a_viewer_is_told_why_there_is_no_text() -> None:
    async with running_console(a_busy_mesh()) as server, running_app(server.address, key=VIEWER_KEY) as console:
        await console.shows("vera · viewer")
        await console.pilot.press("2", "enter")
        await console.shows("Board prep", "This key may not read this meeting")


async def test_hostile_text_is_only_text_in_every_view_dialog_and_notice() -> None:
    hostile = "\x1b]0;PWNED\x07\x9b31m\u202e[@click=app.quit]x[/][bold" + "e" + "\u0301" * 50 + "\u2066\u200f"
    gateway = ConsoleGateway(
        pb.ConsoleSession(meeting_id=hostile, title=hostile, state=hostile, provider=hostile, note=hostile),
        pb.ConsoleRoom(room=hostile, state=hostile, version=hostile, detail=hostile, error=hostile),
        pb.ConsoleQueue(queue=hostile, error=hostile),
        pb.ConsoleBreaker(name=hostile, state=hostile),
    )
    desk = gateway.desk
    clean_name = clean(hostile)  # what the console asks about: it knows no other name
    desk.add_jobs(clean_name, hostile, error=hostile)
    desk.audit = [admin.AuditEvent(sequence=1, outcome=hostile, subject=hostile, endpoint=hostile, reason=hostile)]
    desk.checks = [admin.SystemCheck(room=hostile, name=hostile, message=hostile)]
    desk.storage = [admin.StorageHealth(room=hostile, mode=hostile, path=hostile, error=hostile)]
    desk.meetings = [meetings.Meeting(meeting_id=hostile, title=hostile, state=hostile, report_state=hostile)]
    desk.deliveries = [reports.Delivery(delivery_id=hostile, channel=hostile, state=hostile, last_error=hostile)]
    desk.participants = [connector.SessionParticipant(participant_id=hostile, display_name=hostile)]
    desk.history = [connector.BreakerChange(state=hostile, reason=hostile)]
    desk.decisions = [connector.Decision(observed=hostile, reason=hostile, action=hostile, source=hostile)]
    desk.events = [segment(1, hostile, hostile), interim(hostile, hostile, hostile), coverage(hostile, lost=9000)]
    desk.events.append(meetings.WatchMeetingResponse(warning=meetings.MeetingWarning(kind=hostile, message=hostile)))
    async with running_console(gateway) as server, running_app(server.address, size=(200, 50)) as console:
        await operating(console)
        for keys in (
            ["2"],
            ["3"],
            ["3", "tab"],
            ["4", "tab"],
            ["5", "tab"],
            ["6"],
            ["7"],
            ["8", "tab"],
            ["2", "enter"],
        ):
            await console.pilot.press(*keys)
            await console.shows("PWNED", "[@click=app.quit]")
            await console.pilot.press("y", "Y")
            await console.shows("copied")
            assert_harmless(console)
        for keys, shown in (
            (["q", "2", "x"], "Stop recording"),
            (["escape", "3", "x"], "Drop dead letters"),
            (["escape", "V", "r"], "Requeue marked"),
            (["enter"], "Cannot requeue job"),  # what the gateway answers, in a notice
            (["4", "r"], "Done: reset"),
            (["z", "w"], "wide"),
            (["question_mark"], "help"),
        ):
            for key in keys:
                await console.pilot.press(key)
                if key == "3":
                    console.app.screen.set_focus(console.app.screen.query_one("#jobs"))
            await console.shows(shown)
            assert_harmless(console)
        await console.pilot.press("escape", "slash")
        console.app.screen.query_one(FilterLine).post_message(events.Paste(hostile))
        await console.shows("/]0;PWNED")
        assert_harmless(console)


def assert_harmless(console: RunningConsole) -> None:
    """Nothing that a terminal obeys, and nothing to click."""
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", console.text)
    assert "\u0301" * 3 not in console.text
    assert [segment for strip in console.strips for segment in strip if "@click" in str(segment.style)] == []


async def test_pause_and_resize_leave_every_view_alive() -> None:
    async with running_console(a_busy_mesh()) as server, running_app(server.address, theme="light") as console:
        await operating(console)
        for key in VIEWS:
            await console.pilot.press(key, "space")
            await console.shows("PAUSED")
            await console.pilot.resize_terminal(40, 10)
            await console.pilot.resize_terminal(20, 6)
            await console.pilot.resize_terminal(140, 40)
            await console.pilot.press("space")
            await console.hides("PAUSED")
            assert isinstance(console.app.screen.query(LiveTable).first(), LiveTable)
