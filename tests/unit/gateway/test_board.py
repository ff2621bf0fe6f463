"""The console's board: rooms joined, changes told once, gone rows told."""

from agent.console.v1 import console_service_pb2 as console
from agent.ops.v1 import ops_service_pb2 as ops
from gateway.console.board import TOPICS, Board, page_of

ALL = frozenset(TOPICS)


def snapshot(
    room: str, *sessions: ops.SessionStatus, **rows: list[ops.QueueStatus] | list[ops.BreakerStatus]
) -> ops.WatchResponse:
    return ops.WatchResponse(room=ops.RoomStatus(room=room, state="serving"), sessions=sessions, **rows)  # type: ignore[arg-type]


def test_two_rooms_tell_one_session():
    board = Board(["connector", "ingest"])
    board.accept(
        "connector",
        snapshot("connector", ops.SessionStatus(meeting_id="m", state="RECONN", level=90, note="call dropped")),
    )
    board.accept(
        "ingest",
        snapshot("ingest", ops.SessionStatus(meeting_id="m", state="LIVE", title="Talk", lag_ms=700, words=12)),
    )
    row = board.everything(ALL).rows["sessions/m"]
    assert isinstance(row, console.ConsoleSession)
    assert (row.state, row.title, row.level, row.lag_ms, row.words, row.note) == (
        "RECONN",
        "Talk",
        90,
        700,
        12,
        "call dropped",
    )


def test_only_what_changed_is_told():
    board = Board(["ingest", "stt"])
    board.accept("ingest", snapshot("ingest", ops.SessionStatus(meeting_id="a"), ops.SessionStatus(meeting_id="b")))
    seen = board.version
    board.accept("ingest", snapshot("ingest", ops.SessionStatus(meeting_id="a"), ops.SessionStatus(meeting_id="b")))
    assert board.version == seen, "nothing changed"
    board.accept("ingest", snapshot("ingest", ops.SessionStatus(meeting_id="a", words=3)))
    changes = board.changes_since(seen, ALL)
    assert changes
    assert (list(changes.rows), list(changes.gone)) == (["sessions/a"], ["sessions/b"])
    assert board.changes_since(changes.version, ALL) == type(changes)(changes.version, {}, [])


def test_a_row_that_comes_back_is_no_longer_gone():
    board = Board(["ingest"])
    board.accept("ingest", snapshot("ingest", ops.SessionStatus(meeting_id="a")))
    seen = board.version
    board.accept("ingest", snapshot("ingest"))
    board.accept("ingest", snapshot("ingest", ops.SessionStatus(meeting_id="a")))
    changes = board.changes_since(seen, ALL)
    assert changes
    assert (list(changes.rows), list(changes.gone)) == (["sessions/a"], [])


def test_topics_keep_other_rows_out():
    board = Board(["ingest"])
    board.accept("ingest", snapshot("ingest", ops.SessionStatus(meeting_id="a")))
    assert list(board.everything(frozenset({"rooms"})).rows) == ["rooms/ingest"]


def test_a_room_that_is_away_marks_what_it_told():
    board = Board(["connector"])
    told = snapshot(
        "connector",
        ops.SessionStatus(meeting_id="a", state="LIVE", level=99),
        queues=[ops.QueueStatus(queue="settle", depth=4)],
        breakers=[ops.BreakerStatus(name="connector.room", state="open")],
    )
    board.accept("connector", told)
    board.away("connector", "cannot be reached")
    page = page_of(board.everything(ALL).rows.items())
    assert (page.rooms[0].state, page.rooms[0].error) == ("away", "cannot be reached")
    assert (page.sessions[0].state, page.sessions[0].level, page.sessions[0].note) == (
        "STALLED",
        0,
        "connector is away",
    )
    assert (page.queues[0].depth, page.queues[0].error) == (0, "connector is away")
    assert not page.breakers


def test_the_queue_that_can_be_read_tells_the_truth():
    board = Board(["ingest", "report"])
    board.accept("ingest", snapshot("ingest", queues=[ops.QueueStatus(queue="report", error="database away")]))
    board.accept("report", snapshot("report", queues=[ops.QueueStatus(queue="report", depth=3, dead=1)]))
    row = page_of(board.everything(ALL).rows.items()).queues[0]
    assert (row.depth, row.dead, row.error) == (3, 1, "")
