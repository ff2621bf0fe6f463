"""Lines fit their width, tables drop columns when narrow, and only changed cells are found."""

import subprocess
import sys

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip

from tui.rows import QueueRow
from tui.widgets.canvas import changed_spans
from tui.widgets.columns import Column, fit_columns, header_line, row_line
from tui.widgets.runs import apart, fit, width_of, wrap


@pytest.mark.parametrize("text", ["", "abc", "会議会議会議", "Собеседование", "éé" * 9])
@pytest.mark.parametrize("width", [0, 1, 2, 5, 8])
def test_fit_takes_exactly_the_width(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, right=True, dots="~")) == width


def test_wrap_breaks_between_words_and_inside_words_that_are_too_long() -> None:
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("a abcdefghij b", 4) == ["a", "abcd", "efgh", "ij b"]
    assert wrap("", 7) == []


def test_the_left_group_gives_way_to_the_right_one() -> None:
    line = apart([("left", "bold"), (" and more", "dim")], [("right", "text")], 14)
    assert "".join(text for text, _ in line) == "left and right"
    assert width_of(apart([("x" * 50, "text")], [("r", "text")], 10)) == 10


def test_narrow_tables_drop_columns_and_wide_ones_grow() -> None:
    columns: list[Column[QueueRow]] = [
        Column("QUEUE", 6, lambda row, width: [(fit(row.queue, width), "text")], grow=1),
        Column("DEPTH", 5, lambda row, width: [(str(row.depth), "text")], right=True),
        Column("RUN", 4, lambda row, width: [(str(row.pending), "text")], right=True, drop=1),
    ]
    row = QueueRow("report", 12, 3, 0, 0, "")
    assert [column.title for column, _ in fit_columns(columns, 17)] == ["QUEUE", "DEPTH"]
    wide = fit_columns(columns, 28)
    assert [width for _, width in wide] == [16, 5, 4]
    assert "".join(text for text, _ in header_line(wide)) == " QUEUE            DEPTH  RUN"
    assert "".join(text for text, _ in row_line(wide, row)) == " report              12    3"


def test_only_the_cells_that_differ_are_sent() -> None:
    old, new = Strip([Segment("lag 100 ms      words 10")]), Strip([Segment("lag 200 ms      words 11")])
    assert changed_spans(old, new) == [(4, 5), (23, 24)]
    assert changed_spans(old, old) == []
    assert changed_spans(Strip([Segment("会議 a")]), Strip([Segment("会議 b")])) == [(5, 6)]
    assert changed_spans(Strip([Segment("会 a")]), Strip([Segment("議 a")])) == [(0, 2)], "no half of a wide character"


def test_widgets_and_screens_do_not_need_grpc() -> None:
    program = "import sys, kit, tui.screens.overview, tui.screens.help; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": ".:gen"}, check=False).returncode == 0
