"""Columns of a table: what each shows, and which of them fit into a width."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tui.rows import Row
from tui.widgets.runs import Runs, fit, width_of

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column. `draw` gets the row and the width and returns runs of at most that width."""

    title: str
    width: int
    """Cells, without the gap to the next column; the least for one that grows."""
    draw: Callable[[R, int], Runs]
    right: bool = False
    """Whether it is aligned to the right."""
    grow: int = 0
    """Its share of the cells that are left over; 0 keeps the width."""
    drop: int = 0
    """Columns with the highest number go first when the table is narrow; 0 stays."""
    by: Callable[[R], Any] | None = None
    """What rows are sorted by for this column; the text that it shows if None."""

    @property
    def name(self) -> str:
        """What the column is called where one sorts by it."""
        return self.title.strip().casefold()

    def rank(self, row: R) -> tuple[Any, ...]:
        """Return what a row is sorted by."""
        if self.by is not None:
            return (self.by(row),)
        return ("".join(text for text, _ in self.draw(row, _WHOLE_CELLS)).strip().casefold(),)


_WHOLE_CELLS = 300
_WIDE_CELLS = 30  # what a column that grows gets beside its least, where columns are wide


def wide_cells(columns: Sequence[Column[R]]) -> int:
    """Return the width in which every column stands, and those with long texts have room."""
    return _needed(columns) + sum(_WIDE_CELLS for column in columns if column.grow)


def fit_columns(columns: Sequence[Column[R]], width: int) -> list[tuple[Column[R], int]]:
    """Choose the columns that fit and their widths; one cell stands between two."""
    kept = list(columns)
    while _needed(kept) > width and any(column.drop for column in kept):
        kept.remove(max(kept, key=lambda column: column.drop))
    spare = max(0, width - _needed(kept))
    shares = sum(column.grow for column in kept)
    fitted: list[tuple[Column[R], int]] = []
    for column in kept:
        extra = spare * column.grow // shares if column.grow else 0
        spare -= extra
        shares -= column.grow
        fitted.append((column, column.width + extra))
    return fitted


def header_line(fitted: Sequence[tuple[Column[R], int]]) -> Runs:
    """Return the titles."""
    return [(" " + " ".join(fit(column.title, width, right=column.right) for column, width in fitted), "head")]


def row_line(fitted: Sequence[tuple[Column[R], int]], row: R) -> Runs:
    """Return the cells of a row."""
    line: Runs = []
    for column, width in fitted:
        cell = column.draw(row, width)
        padding = (" " * (width - width_of(cell)), "text")
        line += [(" ", "text"), *([padding, *cell] if column.right else [*cell, padding])]
    return line


def _needed(columns: Sequence[Column[R]]) -> int:
    return sum(column.width + 1 for column in columns)
