"""The transcript, raw and clean, as plain text, Markdown and JSON.

Raw is one line per segment; clean is one paragraph per turn, and its JSON keeps the raw words beside the clean ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from services.report.enhancer import Turn
from services.report.renderers.markup import escape
from services.report.renderers.subtitles import one_line
from services.report.renderers.timestamps import clock
from services.report.transcript import Segment, Transcript
from services.report.wire import segment_message, to_dict
from services.report.wording import Wording


def raw_txt(segments: Iterable[Segment]) -> str:
    """ "[02:31] Ben: words" per segment."""
    return "".join(_line(segment.start_ms, segment.speaker, segment.text) for segment in segments)


def clean_txt(turns: Iterable[Turn]) -> str:
    """ "[02:31] Ben: words" per turn."""
    return "".join(_line(turn.start_ms, turn.speaker, turn.text) for turn in turns)


def raw_md(segments: Sequence[Segment], transcript: Transcript, words: Wording) -> str:
    """A heading and one paragraph per segment."""
    return _page(transcript, words, ((said.start_ms, said.speaker, said.text) for said in segments))


def clean_md(turns: Sequence[Turn], transcript: Transcript, words: Wording) -> str:
    """A heading and one paragraph per turn."""
    return _page(transcript, words, ((turn.start_ms, turn.speaker, turn.text) for turn in turns))


def raw_json(segments: Iterable[Segment], transcript: Transcript) -> str:
    """The segments as the protobuf JSON of agent.common.v1.Segment."""
    messages = [to_dict(segment_message(segment, transcript.meeting_id)) for segment in segments]
    return _json({"meetingId": transcript.meeting_id, "revision": transcript.revision, "segments": messages})


def clean_json(turns: Iterable[Turn], transcript: Transcript) -> str:
    """The turns with clean and raw words and the segments that they were joined from."""
    shown = [
        {
            "participantId": turn.participant_id,
            "speaker": turn.speaker,
            "startMs": turn.start_ms,
            "endMs": turn.end_ms,
            "text": turn.text,
            "raw": turn.raw,
            "segmentIds": [line.segment.segment_id for line in turn.lines],
        }
        for turn in turns
    ]
    return _json({"meetingId": transcript.meeting_id, "revision": transcript.revision, "turns": shown})


def title_of(transcript: Transcript, words: Wording) -> str:
    """The meeting's title, or its identifier where it has none."""
    return transcript.title or words.label("untitled", meeting_id=transcript.meeting_id)


def _line(start_ms: int, speaker: str, text: str) -> str:
    return f"[{clock(start_ms)}] {one_line(speaker)}: {one_line(text)}\n"


def _page(transcript: Transcript, words: Wording, said: Iterable[tuple[int, str, str]]) -> str:
    heading = f"# {escape(title_of(transcript, words))}\n"
    return heading + "".join(f"\n**{clock(start)} {escape(who)}** {escape(text)}\n" for start, who, text in said)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
