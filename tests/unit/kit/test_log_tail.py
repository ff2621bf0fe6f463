"""The ring of log lines: bounded in every way, read without a queue, written from anywhere."""

import io
import json
import logging
import threading
import time
from collections.abc import Iterator

import pytest
import structlog

from kit.telemetry import log_tail, logs
from kit.telemetry.log_tail import MAX_FIELDS, MAX_LINES, MAX_VALUE_CHARACTERS, LogTail


@pytest.fixture
def tail(monkeypatch: pytest.MonkeyPatch) -> Iterator[LogTail]:
    """The ring of a process whose log has just been configured; its lines are also in `logged`."""
    ring = LogTail()
    monkeypatch.setattr(log_tail, "PROCESS", ring)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.configure("stt", stream=io.StringIO())
    yield ring
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def write(ring: LogTail, message: str, **fields: object) -> None:
    ring(None, "info", {"event": message, "level": "info", **fields})


def test_lines_of_ours_and_of_libraries_are_kept_with_their_values(tail: LogTail) -> None:
    logs.get().info("settled", segments=3, meeting_id="m-1")
    logs.get().debug("not_written")
    logging.getLogger("some.library").critical("hello %s", "you")
    try:
        raise ValueError("wrong")
    except ValueError:
        logs.get().exception("failed")
    ours, theirs, failure = tail.everything().lines
    assert (ours.message, ours.level, ours.fields) == ("settled", "info", {"segments": "3", "meeting_id": "m-1"})
    assert (theirs.message, theirs.level, theirs.fields) == ("hello you", "error", {"logger": "some.library"})
    assert failure.fields["exception"].endswith("ValueError: wrong")
    assert ours.has("m-1")
    assert not ours.has("m-2")


def test_nothing_is_kept_without_bound() -> None:
    ring = LogTail(max_lines=3, max_characters=10_000)
    write(ring, "long", text="x" * 100_000, exception="y" * 5000 + "the error", **{f"f{n}": n for n in range(100)})
    (line,) = ring.everything().lines
    assert len(line.fields) <= MAX_FIELDS + 1
    assert max(map(len, line.fields.values())) <= MAX_VALUE_CHARACTERS
    assert line.fields["exception"].endswith("the error")
    for number in range(9):
        write(ring, f"line_{number}")
    read = ring.since(0, 2)
    assert ([line.message for line in read.lines], read.following, read.missed) == (["line_6", "line_7"], 9, 7)
    assert [line.message for line in ring.since(read.following, 9).lines] == ["line_8"]
    for _ in range(3):
        write(ring, "x" * 2000, a="x" * 2000, b="x" * 2000)
    assert len(ring.everything().lines) == 1  # two would be above the characters


def test_a_value_that_cannot_be_shown_breaks_nobody() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    ring = LogTail()
    event = {"event": "odd", "level": "info", "value": Broken()}
    assert ring(None, "info", event) is event


def test_threads_write_while_a_reader_reads(tail: LogTail) -> None:
    def talk(number: int) -> None:
        for count in range(500):
            logging.getLogger("some.library").warning("%d %d", number, count)

    writers = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    position = heard = missed = 0
    while any(writer.is_alive() for writer in writers) or position < MAX_LINES:
        read = tail.since(position, 100)
        position, heard, missed = read.following, heard + len(read.lines), missed + read.missed
        time.sleep(0.005)
    assert (heard, missed) == (2000, 0)


def test_what_a_tail_writes_itself_is_not_heard(tail: LogTail) -> None:
    with log_tail.unheard():
        logs.get().info("sent")
    logs.get().info("after")
    assert [line.message for line in tail.everything().lines] == ["after"]
    assert json.dumps(tail.everything().lines[0].fields) == "{}"
