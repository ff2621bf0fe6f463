"""What a person sees while the demo runs: the transcript as it is spoken, then coverage and report."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.common.v1.report_pb2 import Report
from agent.common.v1.transcript_pb2 import ParticipantCoverage, Segment
from agent.ingest.v1.meeting_service_pb2 import InterimText
from mesh.demo.checks import KINDS, coverage_ms
from mesh.demo.summary import Summary

VOICES = ("cyan", "magenta", "yellow", "green")
BAR_CELLS = 50
KIND_STYLES = {
    "transcribed": "green",
    "silent": "bright_black",
    "muted": "blue",
    "concealed": "yellow",
    "lost": "red",
    "pending": "white",
    "withdrawn": "magenta",
}


class Screen:
    """Writes to a terminal, or plain lines to anything else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._interims: dict[str, InterimText] = {}
        self._styles: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def step(self, sentence: str) -> None:
        """One line on what happens now."""
        self._console.print(Text(sentence, style="dim"))

    def interim(self, interim: InterimText) -> None:
        """Show text in the making under the transcript."""
        self._interims[interim.speaker] = interim
        self._refresh()

    def final(self, segment: Segment) -> None:
        """Add a line to the transcript."""
        self._interims.pop(segment.speaker, None)
        self._refresh()
        self._console.print(self._line(segment.start_ms, segment.speaker, segment.text))

    def coverage(self, accounts: list[ParticipantCoverage]) -> None:
        """Draw each participant's time, to scale."""
        self._console.print(Text("\nEvery second accounted for", style="bold"))
        for account in accounts:
            totals = coverage_ms(account)
            whole = sum(totals.values()) + account.absent_ms or 1
            bar = Text()
            for kind in KINDS:
                bar.append("█" * round(BAR_CELLS * totals[kind] / whole), style=KIND_STYLES[kind])
            self._console.print(
                Text.assemble((f"  {account.display_name:<14}", self._style(account.display_name)), bar)
            )
            listed = "  ".join(f"{kind} {totals[kind] / 1000:.1f} s" for kind in KINDS)
            self._console.print(Text(f"  {'':<14}{listed}", style="dim"))

    def report(self, report: Report) -> None:
        """Print the report's findings, each with the words it rests on."""
        self._console.print(Text.assemble(("\nReport  ", "bold"), report.headline))
        groups = (
            ("questions", [question.question for question in report.questions]),
            ("commitments and requests", [item.claim for item in report.actions]),
            ("decisions", list(report.decisions)),
        )
        for heading, claims in groups:
            if claims:
                self._console.print(Text(f"  {heading}", style="bold"))
            for claim in claims:
                evidence = claim.evidence[0]
                place = f"{_clock(evidence.start_ms)} {evidence.speaker}: "
                self._console.print(Text.assemble(("    " + place, "dim"), f"“{evidence.quote}”"))
        for warning in report.warnings:
            self._console.print(Text(f"  ▲ {warning}", style="yellow"))

    def summary(self, summary: Summary, output: str) -> None:
        """Print the figures, and what is wrong with them."""
        table = Table(box=None, show_header=False, pad_edge=False)
        latency = summary.final_latency_ms
        table.add_row("call", f"{summary.call_seconds:.1f} s, {summary.segments} segments")
        table.add_row("speech", f"{summary.engine}/{summary.model} (a demonstration model)")
        table.add_row("word errors", "  ".join(f"{p.name} {p.wer:.1%}" for p in summary.participants))
        table.add_row("end of speech to text", f"median {latency['p50']} ms, p95 {latency['p95']} ms")
        table.add_row("under another's name", f"{summary.misattributed_words} words")
        table.add_row("claims with evidence", f"{summary.claims['with_evidence']} of {summary.claims['total']}")
        table.add_row("files", output)
        self._console.print()
        self._console.print(table)
        for fault in summary.faults():
            self._console.print(Text(f"✖ {fault}", style="bold red"))

    def _refresh(self) -> None:
        if self._live:
            lines = [
                Text.assemble(
                    (f"  … {i.speaker}: ", self._style(i.speaker)), i.stable_text, " ", (i.unstable_text, "dim")
                )
                for i in self._interims.values()
                if i.stable_text or i.unstable_text
            ]
            self._live.update(Text("\n").join(lines))

    def _line(self, start_ms: int, speaker: str, text: str) -> Text:
        return Text.assemble((f"{_clock(start_ms)} ", "dim"), (f"{speaker}  ", self._style(speaker)), text)

    def _style(self, speaker: str) -> str:
        return self._styles.setdefault(speaker, VOICES[len(self._styles) % len(VOICES)])


def _clock(milliseconds: int) -> str:
    minutes, seconds = divmod(milliseconds // 1000, 60)
    return f"{minutes:02d}:{seconds:02d}"
