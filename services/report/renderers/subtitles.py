"""Subtitles in SubRip and WebVTT: one cue per segment, the speaker before the words or as a voice."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

from services.report.enhancer import CleanLine
from services.report.renderers.timestamps import cue_time
from services.report.transcript import Segment

MIN_CUE_MS = 1
"""A cue that ends where it begins is refused by players."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle."""

    start_ms: int
    end_ms: int
    speaker: str
    text: str


def raw_cues(segments: Iterable[Segment]) -> list[Cue]:
    """Cues with the words as recognised."""
    return [_cue(segment, segment.text) for segment in segments]


def clean_cues(lines: Iterable[CleanLine]) -> list[Cue]:
    """Cues with the clean words."""
    return [_cue(line.segment, line.text) for line in lines]


def srt(cues: Iterable[Cue]) -> str:
    """SubRip."""
    blocks = (
        f"{number}\n{cue_time(cue.start_ms, ',')} --> {cue_time(cue.end_ms, ',')}\n{_said(cue)}\n"
        for number, cue in enumerate(cues, 1)
    )
    return "\n".join(blocks)


def vtt(cues: Iterable[Cue]) -> str:
    """WebVTT."""
    blocks = (
        f"{cue_time(cue.start_ms, '.')} --> {cue_time(cue.end_ms, '.')}\n"
        f"<v {html.escape(cue.speaker, quote=False)}>{html.escape(cue.text, quote=False)}\n"
        for cue in cues
    )
    return "\n".join(["WEBVTT\n", *blocks])


def _cue(segment: Segment, text: str) -> Cue:
    end_ms = max(segment.end_ms, segment.start_ms + MIN_CUE_MS)
    return Cue(segment.start_ms, end_ms, one_line(segment.speaker), one_line(text))


def _said(cue: Cue) -> str:
    """An arrow inside the words would read as a time line."""
    return f"{cue.speaker}: {cue.text}".replace("-->", "→")


def one_line(text: str) -> str:
    """The text without line breaks: an empty line would end a cue."""
    return " ".join(text.split())
