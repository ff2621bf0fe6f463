"""Lines of several rooms for one console: in order, bounded, and what is lost is counted."""

from agent.ops.v1.ops_service_pb2 import LogLine
from gateway.console.log_merge import LogMerge


def line(second: int, room: str = "stt", size: int = 0) -> LogLine:
    made = LogLine(room=room, message="x" * size)
    made.time.FromSeconds(second)
    return made


def told(merge: LogMerge) -> list[int]:
    seconds: list[int] = []
    while (response := merge.response()) is not None:
        seconds += [one.time.seconds for one in response.lines]
    return seconds


def test_a_line_waits_for_older_ones_of_other_rooms() -> None:
    merge = LogMerge()
    merge.take([line(1), line(4)], 0, arrived_at=10.0)
    merge.take([line(2, "ingest"), line(5, "ingest")], 0, arrived_at=10.2)
    merge.release(10.1)
    assert told(merge) == [1, 2, 4]
    merge.release(10.3)
    assert told(merge) == [5]
    assert merge.response() is None


def test_a_reader_that_is_too_slow_loses_the_oldest_and_is_told() -> None:
    merge = LogMerge(max_lines=100, max_bytes=10_000)
    for second in range(0, 1000, 10):
        merge.take([line(second + number) for number in range(10)], 1, arrived_at=0.0)
        merge.release(0.0)
    response = merge.response()
    assert response is not None
    assert [one.time.seconds for one in response.lines] == list(range(900, 1000))
    assert response.dropped == 900 + 100
    merge.take([line(second, size=4000) for second in range(9)], 0, arrived_at=0.0)
    merge.release(0.0)
    assert told(merge) == [7, 8]


def test_rooms_that_go_and_come_are_told_once() -> None:
    merge = LogMerge()
    merge.away("stt", "cannot be reached")
    merge.away("stt", "")
    response = merge.response()
    assert response is not None
    assert [(one.room, one.error) for one in response.away] == [("stt", "")]
    assert merge.response() is None
