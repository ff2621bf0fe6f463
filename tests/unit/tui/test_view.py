"""Figures, filter, pause, and how rows are judged."""

from agent.console.v1 import console_service_pb2 as pb
from tests.fakes.console_server import page_of
from tui.condition import breaker_condition, queue_condition, room_condition, session_condition
from tui.errors import Unreachable
from tui.glyphs import ASCII, UNICODE, choose_glyphs, spark_line
from tui.link import Link
from tui.quantities import count, duration, mebibytes, milliseconds
from tui.rows import BreakerRow, QueueRow, RoomRow, SessionRow
from tui.store import Store
from tui.theme import theme_name
from tui.view import Filter, View
from tui.vitals import Vitals


def session(**changes: object) -> SessionRow:
    values: dict[str, object] = {
        "meeting_id": "m-1",
        "title": "Board prep",
        "state": "LIVE",
        "provider": "room",
        "tracks": 2,
        "level": 0,
        "lag_ms": 0,
        "words": 0,
        "age_seconds": 0,
        "note": "",
    }
    return SessionRow(**{**values, **changes})  # type: ignore[arg-type]


def test_words_per_minute_counts_what_was_written_while_watching() -> None:
    vitals, store = Vitals(), Store()
    for second in range(11):
        words = 500 + 2 * second
        rows = [pb.ConsoleSession(meeting_id="a", state="LIVE", words=words)]
        if second >= 5:  # a session that appears brings words that were written before
            rows.append(pb.ConsoleSession(meeting_id="b", state="LIVE", words=9_000))
        store.take_delta(page_of(rows))
        vitals.sample(store.tables, float(second))
        assert (vitals.now.words_per_minute is None) == (second < 5)
    assert vitals.now.words_per_minute == 120
    assert vitals.history("live")[-6:] == [2.0] * 6


def test_lag_p95_leaves_out_sessions_that_have_failed() -> None:
    vitals, store = Vitals(), Store()
    rows = [pb.ConsoleSession(meeting_id=str(at), state="LIVE", lag_ms=at) for at in range(1, 101)]
    store.take_delta(page_of([*rows, pb.ConsoleSession(meeting_id="f", state="FAILED", lag_ms=10**6)]))
    vitals.sample(store.tables, 0.0)
    assert vitals.now.lag_p95_ms == 95


def test_figures_are_not_sampled_from_stale_data() -> None:
    store, link = Store(), Link(stale_seconds=4.0)
    view = View(store, link, target="here", glyphs=UNICODE)
    store.take_snapshot(page_of([pb.ConsoleSession(meeting_id="a", state="LIVE")]))
    link.heard(100.0)
    view.tick(100.0)
    view.tick(101.5)
    view.tick(104.5)
    assert view.link_state == "stale"
    assert len(view.vitals.history("live")) == 2


def test_a_paused_view_shows_the_rows_of_that_moment() -> None:
    store = Store()
    view = View(store, Link(), target="here", glyphs=UNICODE)
    store.take_snapshot(page_of([pb.ConsoleSession(meeting_id="a", words=1)]))
    view.toggle_pause()
    store.take_delta(page_of([pb.ConsoleSession(meeting_id="a", words=2)]))
    assert view.tables.sessions["a"].words == 1
    view.toggle_pause()
    assert view.tables.sessions["a"].words == 2


def test_the_filter_wants_all_words_and_none_of_those_after_an_exclamation_mark() -> None:
    row = session(title="Собеседование: Backend", note="packet loss")
    assert Filter("backend LIVE").matches(row)
    assert Filter("собеседование").matches(row)
    assert not Filter("backend failed").matches(row)
    assert not Filter("backend !loss").matches(row)
    assert Filter("!").matches(row)
    assert not Filter("  ")


def test_links_grow_stale_and_count_attempts() -> None:
    link = Link(stale_seconds=4.0)
    assert link.state(0.0) == "connecting"
    link.heard(10.0)
    assert (link.state(13.9), link.state(14.0)) == ("live", "stale")
    link.lost(Unreachable("here"), 20.0)
    link.lost(Unreachable("here"), 30.0)
    assert (link.state(14.0), link.attempt) == ("offline", 2)
    link.heard(31.0)
    assert (link.state(31.0), link.attempt, link.problem) == ("live", 0, None)


def test_worse_conditions_rank_first_and_unknown_states_are_shown_as_they_are() -> None:
    states = ["FAILED", "STALLED", "RECONN", "DEGRADED", "CONNECT", "LIVE", "NEW", "ENDED"]
    ranks = [session_condition(session(state=state)).rank for state in states]
    assert ranks == sorted(ranks)
    assert session_condition(session(state="new")).word == "NEW"
    room = RoomRow("stt", "away", "", 0, 0, 0, 0.0, 0, "", "cannot be reached")
    assert room_condition(room).word == "AWAY"
    assert queue_condition(QueueRow("report", 1, 0, 2, 0, "")).word == "DEAD"
    assert queue_condition(QueueRow("report", 0, 0, 0, 0, "report is away")).word == "UNKNOWN"
    assert queue_condition(QueueRow("report", 1, 0, 0, 400, "")).word == "LATE"
    assert breaker_condition(BreakerRow("llm", "half_open", 3, 5, 1)).word == "HALF-OPEN"


def test_numbers_are_short() -> None:
    assert [milliseconds(value) for value in (0, 999, 2_100, 134_000)] == ["0 ms", "999 ms", "2.1 s", "134 s"]
    assert [duration(value) for value in (-1, 37, 98, 7_440, 190_000)] == ["0s", "37s", "1m38", "2h04", "2d04"]
    assert [count(value) for value in (7_218, 134_999, 12_000_000)] == ["7,218", "134k", "12M"]
    assert [mebibytes(value) for value in (73, 2_150)] == ["73 M", "2.1 G"]


def test_spark_lines_show_moves_not_noise() -> None:
    assert spark_line(ASCII, [], 4) == "    "
    assert spark_line(ASCII, [7.0, 7.0], 4) == "  __"
    assert spark_line(ASCII, [0.0, 1.0], 2) == "_@"
    assert spark_line(ASCII, [1000.0, 1001.0], 2) == "__"
    assert spark_line(ASCII, [9.0, 0.0, 1.0], 2) == "_@"


def test_terminals_without_unicode_get_ascii() -> None:
    assert choose_glyphs("auto", "UTF-8", {"TERM": "xterm-256color"}) is UNICODE
    assert choose_glyphs("auto", "ANSI_X3.4-1968", {"TERM": "xterm"}) is ASCII
    assert choose_glyphs("auto", "UTF-8", {"TERM": "linux"}) is ASCII
    assert choose_glyphs("unicode", "ascii", {"TERM": "linux"}) is UNICODE


def test_sixteen_colours_take_the_terminals_own() -> None:
    assert theme_name("dark", "truecolor") == "agent-dark"
    assert theme_name("light", "256") == "agent-light"
    assert theme_name("dark", "standard") == "ansi-dark"
    assert theme_name("light", "standard") == "ansi-light"
    assert theme_name("ansi", "truecolor") == "ansi-dark"
