"""The report as plain text."""

from __future__ import annotations

from collections.abc import Iterator

from services.report.document import Report
from services.report.renderers.outline import Quote, Table, outline


def report_txt(report: Report) -> str:
    """Plain text, readable in a terminal and in a mail."""
    page = outline(report)
    lines = [page.title, "=" * len(page.title), page.headline]
    for block in page.blocks:
        lines += ["", block.heading, "-" * len(block.heading)]
        for item in block.items:
            if isinstance(item, Table):
                lines += _table(item)
            elif isinstance(item, Quote):
                lines += _quote(item)
            else:
                lines.append(item)
    return "\n".join([*lines, "", *page.footers, ""])


def _quote(quote: Quote, indent: str = "") -> Iterator[str]:
    note = f"  ({quote.note})" if quote.note else ""
    yield f"{indent}[{quote.place}] {quote.speaker}: {quote.text}{note}"
    for answer in quote.answers:
        yield from _quote(answer, indent + "    ")


def _table(table: Table) -> Iterator[str]:
    rows = (table.header, *table.rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
