"""View 9 and `agent-console logs`, over a real stream."""

import json
import re
from pathlib import Path

from agent.console.v1 import console_service_pb2 as pb
from agent.ops.v1.ops_service_pb2 import LogLine
from tests.fakes.console_server import SERVICE_KEY, VIEWER_KEY, ConsoleGateway, running_console
from tests.integration.tui.a_busy_mesh import MEETING, a_busy_mesh, at
from tests.integration.tui.running import RunningConsole, running_app
from tests.integration.tui.test_cli import outcome, started
from tests.kit_server import eventually
from tui.glyphs import ASCII
from tui.widgets.log_view import LogView

HOSTILE = "\x1b]0;PWNED\x07\x9b31m\u202e[@click=app.quit]x[/]"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def line(
    number: int, message: str = "utterance_settled", level: str = "info", room: str = "stt", **fields: str
) -> LogLine:
    """Return a line, one second after the other."""
    return LogLine(
        time=at(number // 60, number % 60), level=level, room=room, pid=4106, message=message, fields=fields,
        trace_id=fields.pop("trace_id", ""),
    )  # fmt: skip


def a_talking_mesh() -> ConsoleGateway:
    """Return a gateway whose rooms have written sixty lines."""
    gateway = a_busy_mesh()
    gateway.log_lines = [
        *(line(number, words=str(number), meeting_id=MEETING) for number in range(50)),
        line(50, "webhook_refused", "warning", "report", url_host="crm.example", status="503", trace_id=TRACE),
        line(51, "journal_write_failed", "error", "ingest", exception=f"Traceback: {'x ' * 300}OSError: disk full"),
        *(line(number, words=str(number)) for number in range(52, 60)),
    ]  # fmt: skip
    gateway.log_away = [pb.RoomAway(room="connector", error="cannot be reached")]
    return gateway


async def reading(console: RunningConsole) -> LogView:
    """Go to view 9 and wait for its lines."""
    await console.pilot.press("9")
    await console.shows("utterance_settled words=59", "FOLLOW on")
    return console.app.screen.query_one(LogView)


async def test_lines_are_followed_until_the_operator_looks_back_and_that_holds() -> None:
    gateway = a_talking_mesh()
    async with running_console(gateway) as server, running_app(server.address) as console:
        log = await reading(console)
        await console.shows("logs 60", "connector: cannot be reached", "▲ WARN", "✖ ERROR", "● INFO")
        gateway.log(line(60, "stream_opened", room="ingest"), dropped=7)
        await console.shows("stream_opened", "7 missed")
        await console.pilot.press(*["up"] * 3, "right")
        await console.shows("FOLLOW off")
        top, cursor = log.scroll_offset.y, log.cursor
        gateway.log(*(line(61 + number, "arrived_later") for number in range(20)))
        await console.shows("logs 81")
        assert (log.scroll_offset.y, log.cursor) == (top, cursor)
        assert "arrived_later" not in console.text
        assert "utterance_settled" not in console.text  # off on the left, still
        await console.pilot.press("f", "0")
        await console.shows("FOLLOW on", "arrived_later")
        await console.pilot.press("1")
        await eventually(lambda: gateway.log_readers == 0, 10)
        await console.pilot.press("9")
        await eventually(lambda: gateway.log_readers == 1, 10)
        await console.shows("logs 81")  # what is known is not taken twice


async def test_level_filter_freeze_and_the_whole_of_a_line() -> None:
    gateway = a_talking_mesh()
    async with running_console(gateway) as server, running_app(server.address, key=VIEWER_KEY) as console:
        await reading(console)
        await console.pilot.press("l")
        await console.shows("logs 2 of 60 warning and above", "webhook_refused", "journal_write_failed")
        await console.hides("utterance_settled")
        await console.pilot.press("slash", *"crm", "enter", "y", "Y")
        await console.shows("logs 1 of 60 warning and above /crm")
        assert console.app.clipboard == f"agent-console logs --level warning --contains {TRACE}"
        await console.pilot.press("escape", "end", "enter")
        await console.shows("OSError: disk full", "exception", "ingest, process 4106")
        await console.pilot.press("escape", "l", "l", "space")
        await console.shows("PAUSED", "logs 60")
        gateway.log(line(70, "while_it_was_frozen", "error"))
        await eventually(lambda: len(console.app.screen.query_one(LogView)._lines.rows) == 61, 10)
        assert "while_it_was_frozen" not in console.text
        await console.pilot.press("space")
        await console.shows("while_it_was_frozen")


async def test_a_session_leads_to_its_own_lines_and_hostile_ones_are_only_text() -> None:
    gateway = a_talking_mesh()
    gateway.log(
        LogLine(time=at(5), level=HOSTILE, room=HOSTILE, message=HOSTILE, fields={HOSTILE: HOSTILE, "m": MEETING})
    )
    async with running_console(gateway) as server, running_app(server.address, size=(200, 50)) as console:
        await console.shows("ana · operator")
        await console.pilot.press("2", "enter")
        await console.shows("the hiring plan")
        await console.pilot.press("l")
        await console.shows(f"/{MEETING}", "logs 51 of 61", "PWNED")
        await console.pilot.press("enter")
        await console.shows("[@click=app.quit]", "process 0")
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", console.text)
        assert [segment for strip in console.strips for segment in strip if "@click" in str(segment.style)] == []


async def test_80x24_in_ascii_has_room_for_the_log() -> None:
    async with (
        running_console(a_talking_mesh()) as server,
        running_app(server.address, size=(80, 24), glyphs=ASCII) as console,
    ):
        await reading(console)
        await console.shows("! WARN", "X ERROR", "9Logs")
        assert console.text.isascii()


async def test_the_command_writes_lines_and_goes_on_when_asked(tmp_path: Path) -> None:
    gateway = a_talking_mesh()
    gateway.log_lines.append(line(59, HOSTILE, "warning"))
    async with running_console(gateway) as server:
        given = ("--target", server.address, "--key", SERVICE_KEY, "logs")
        code, out, err = await outcome(tmp_path, *given, "--lines", "2", "--level", "info", "--contains", "settled")
        assert code == 0
        assert out.splitlines()[-2].startswith("2026-11-21T10:00:59.000Z  INFO     stt")
        assert len(out.splitlines()) == 2
        assert out.replace("\n", "").isprintable()
        assert "connector: cannot be reached" in err
        (asked,) = gateway.logs_asked
        assert (asked.min_level, asked.contains, asked.backlog) == ("info", "settled", 2)
        async with started(tmp_path, *given, "--json", "--follow", "--lines", "1", "--room", "stt") as process:
            assert process.stdout is not None
            assert "PWNED" in json.loads(await process.stdout.readline())["message"]
            gateway.log(line(75, "newer", "error", trace_id=TRACE))
            newer = json.loads(await process.stdout.readline())
            assert (newer["message"], newer["level"], newer["trace_id"]) == ("newer", "error", TRACE)


async def test_the_payload_of_the_job_under_the_cursor_is_shown_and_listed(tmp_path: Path) -> None:
    async with running_console(a_busy_mesh()) as server:
        async with running_app(server.address) as console:
            await console.shows("ana · operator")
            await console.pilot.press("3", "tab")
            await console.shows("payload of the job, secrets masked", '"url": "https://crm.example/hooks/****"')
            await console.pilot.press("l")
            await console.shows("/m-1")
        code, out, _ = await outcome(
            tmp_path, "--target", server.address, "--key", SERVICE_KEY, "dlq", "ls", "deliver", "--json"
        )
    assert code == 0
    assert json.loads(json.loads(out.splitlines()[0])["payload"])["event"] == "report.ready"
