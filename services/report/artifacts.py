"""The artifacts of a meeting: every kind and format, their media types, and where their bytes lie."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.report.analysis.language import main_language
from services.report.document import Report
from services.report.enhancer import CleanLine, Turn, clean_lines, turns
from services.report.renderers.report_markdown import report_md
from services.report.renderers.report_text import report_txt
from services.report.renderers.subtitles import clean_cues, raw_cues, srt, vtt
from services.report.renderers.transcripts import clean_json, clean_md, clean_txt, raw_json, raw_md, raw_txt
from services.report.transcript import Segment, Transcript
from services.report.wire import report_message, to_json
from services.report.wording import Wording, wording
from store.places import artifacts_prefix

CONTENT_TYPES: Mapping[str, str] = {
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
DEFAULT_FORMAT = "txt"


@dataclass(frozen=True, slots=True)
class Rendered:
    """One file."""

    kind: str
    fmt: str
    data: bytes

    @property
    def content_type(self) -> str:
        """Media type."""
        return CONTENT_TYPES[self.fmt]


@dataclass(frozen=True, slots=True)
class _Material:
    transcript: Transcript
    segments: tuple[Segment, ...]
    lines: tuple[CleanLine, ...]
    turns: tuple[Turn, ...]
    words: Wording


_TRANSCRIPTS: Mapping[tuple[str, str], Callable[[_Material], str]] = {
    ("raw", "txt"): lambda made: raw_txt(made.segments),
    ("raw", "json"): lambda made: raw_json(made.segments, made.transcript),
    ("raw", "md"): lambda made: raw_md(made.segments, made.transcript, made.words),
    ("raw", "srt"): lambda made: srt(raw_cues(made.segments)),
    ("raw", "vtt"): lambda made: vtt(raw_cues(made.segments)),
    ("clean", "txt"): lambda made: clean_txt(made.turns),
    ("clean", "json"): lambda made: clean_json(made.turns, made.transcript),
    ("clean", "md"): lambda made: clean_md(made.turns, made.transcript, made.words),
    ("clean", "srt"): lambda made: srt(clean_cues(made.lines)),
    ("clean", "vtt"): lambda made: vtt(clean_cues(made.lines)),
}
_REPORTS: Mapping[tuple[str, str], Callable[[Report], str]] = {
    ("report", "txt"): report_txt,
    ("report", "json"): lambda report: to_json(report_message(report)),
    ("report", "md"): report_md,
}
KINDS: Mapping[str, tuple[str, ...]] = {
    kind: tuple(fmt for other, fmt in (*_TRANSCRIPTS, *_REPORTS) if other == kind)
    for kind in ("raw", "clean", "report")
}
"""Formats by kind."""


def render_transcripts(transcript: Transcript) -> tuple[Rendered, ...]:
    """The raw and the clean transcript of one revision, in every format; pure."""
    lines, segments = clean_lines(transcript), transcript.in_time_order
    language = main_language((segment.text for segment in segments), transcript.language)
    made = _Material(transcript, segments, lines, turns(lines), wording(language))
    return tuple(Rendered(kind, fmt, write(made).encode("utf-8")) for (kind, fmt), write in _TRANSCRIPTS.items())


def render_report(report: Report) -> tuple[Rendered, ...]:
    """The report of one revision, in every format; pure."""
    return tuple(Rendered(kind, fmt, write(report).encode("utf-8")) for (kind, fmt), write in _REPORTS.items())


def blob_key(tenant_id: str, meeting_id: str, revision: int, file: Rendered) -> str:
    """Key of an artifact's bytes.

    It holds a digest of them: whoever makes a file again, a worker that lost its job too, never changes what a row of
    the store points at.
    """
    digest = hashlib.sha256(file.data).hexdigest()[:16]
    return f"{artifacts_prefix(tenant_id, meeting_id)}/{revision}/{file.kind}-{digest}.{file.fmt}"
