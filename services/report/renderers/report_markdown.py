"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from services.report.document import Report
from services.report.renderers.markup import escape
from services.report.renderers.outline import Quote, Table, outline


def report_md(report: Report) -> str:
    """Markdown; whatever was said is escaped."""
    page = outline(report)
    lines = [f"# {escape(page.title)}", "", escape(page.headline)]
    for block in page.blocks:
        lines += ["", f"## {escape(block.heading)}", ""]
        for item in block.items:
            if isinstance(item, Table):
                lines += [*_table(item), ""]
            elif isinstance(item, Quote):
                lines += _quote(item)
            else:
                lines.append(f"- {escape(item)}")
    return "\n".join([*lines, *(line for footer in page.footers for line in ("", f"*{escape(footer)}*")), ""])


def _quote(quote: Quote, indent: str = "") -> Iterator[str]:
    note = f" — *{escape(quote.note)}*" if quote.note else ""
    yield f"{indent}- `{quote.place}` **{escape(quote.speaker)}:** {escape(quote.text)}{note}"
    for answer in quote.answers:
        yield from _quote(answer, indent + "  ")


def _table(table: Table) -> Iterator[str]:
    yield "| " + " | ".join(map(escape, table.header)) + " |"
    yield "|" + " --- |" * len(table.header)
    for row in table.rows:
        yield "| " + " | ".join(map(escape, row)) + " |"
