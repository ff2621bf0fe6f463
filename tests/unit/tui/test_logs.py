"""The lines that the console keeps."""

from agent.console.v1 import console_service_pb2 as pb
from agent.ops.v1.ops_service_pb2 import LogLine
from tui.logs import LogLines


def line(second: int, message: str = "settled", **fields: str) -> LogLine:
    made = LogLine(room="stt", pid=1, level="info", message=message, fields=fields)
    made.time.seconds = second
    return made


def test_lines_stand_by_time_once_and_the_oldest_fall_off() -> None:
    lines = LogLines(kept=4)
    lines.take(pb.TailLogsResponse(lines=[line(1), line(3), line(5)]))
    fresh = lines.take(pb.TailLogsResponse(lines=[line(1), line(3), line(4), line(5), line(6)], dropped=2))
    assert [row.time_ns // 10**9 for row in fresh] == [4, 6]
    assert [row.time_ns // 10**9 for row in lines.rows] == [3, 4, 5, 6]
    assert lines.missed == 2


def test_texts_are_harmless_and_moments_of_no_calendar_too() -> None:
    lines = LogLines(ascii_only=True)
    odd = line(2**40, "\x1b[31mКонец", **{"na\x07me": "a\nb", "exception": "x" * 9000})
    (row,) = lines.take(pb.TailLogsResponse(lines=[odd], away=[pb.RoomAway(room="\x1b]0;x", error="gone")]))
    assert row.message == "[31mKonec"
    assert row.fields[0] == ("na me", "a b")
    assert len(row.fields[1][1]) <= 2000
    assert row.clock == "00:00:00.000"
    assert list(lines.away) == ["]0;x"]
    before = lines.version
    lines.take(pb.TailLogsResponse())
    assert lines.version == before  # a sign of life draws nothing
