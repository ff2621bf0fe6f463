"""Artifacts: all kinds and formats, and speech that stays text in every one of them."""

import dataclasses
import json
import re

import pytest
from google.protobuf import json_format

from agent.common.v1 import report_pb2
from services.report.analysis.analyser import analyse
from services.report.artifacts import KINDS, Rendered, blob_key, render_report, render_transcripts
from services.report.document import CoverageTotals, ParticipantCoverage
from services.report.wire import report_message
from tests.unit.report.interview import ENGLISH, NOW, RUSSIAN, transcript

COVERAGE = (ParticipantCoverage("ben", "Ben", CoverageTotals(transcribed=24_000, silent=16_000)),)


def files(said: tuple[tuple[str, str], ...]) -> dict[tuple[str, str], str]:
    made = transcript(said, COVERAGE)
    rendered = (*render_transcripts(made), *render_report(analyse(made, NOW)))
    return {(one.kind, one.fmt): one.data.decode("utf-8") for one in rendered}


def test_every_kind_and_format_is_made() -> None:
    assert {kind: set(formats) for kind, formats in KINDS.items()} == {
        "raw": {"txt", "json", "md", "srt", "vtt"},
        "clean": {"txt", "json", "md", "srt", "vtt"},
        "report": {"txt", "json", "md"},
    }
    assert all(files(ENGLISH).values())


def test_the_json_report_is_the_message_that_grpc_serves() -> None:
    made = transcript(ENGLISH, COVERAGE)
    parsed = json_format.Parse(files(ENGLISH)["report", "json"], report_pb2.Report())
    assert parsed == report_message(analyse(made, NOW))


def test_the_text_report_shows_quotes_with_their_places() -> None:
    text = files(ENGLISH)["report", "txt"]
    assert "[00:20] Ben: I will send the report tomorrow.  (promise, Ben, due 2026-11-19, high confidence)" in text
    assert "Every second accounted for: transcribed 60 %, silent 40 %, lost 0.0 s." in text
    assert "[00:32] Ann: Who will fix the budget?  (no answer)" in text


def test_a_russian_report_speaks_russian() -> None:
    text = files(RUSSIAN)["report", "md"]
    assert "## Вопросы и ответы" in text
    assert "*обещание, Борис, срок 2026-11-19, уверенность высокая*" in text


@pytest.mark.parametrize(
    ("said", "usd", "line"),
    [
        (ENGLISH, 0.42, "Recognition: 0.42 USD, openai_http/whisper-1."),
        (RUSSIAN, 0.42, "Распознавание: 0.42 USD, openai_http/whisper-1."),
        (ENGLISH, 0.0001, "Recognition: 0.01 USD, openai_http/whisper-1."),
    ],
)
def test_what_recognition_was_billed_stands_in_the_report(
    said: tuple[tuple[str, str], ...], usd: float, line: str
) -> None:
    made = transcript(said)
    segments = tuple(dataclasses.replace(one, engine="openai_http", model="whisper-1") for one in made.segments)
    report = analyse(dataclasses.replace(made, segments=segments, speech_cost_usd=usd), NOW)
    rendered = {one.fmt: one.data.decode() for one in render_report(report)}
    assert line in rendered["txt"].splitlines()
    assert line in rendered["md"].replace("\\", "")
    assert json.loads(rendered["json"])["provenance"]["speechCostUsd"] == usd


def test_recognition_that_was_not_billed_is_not_mentioned() -> None:
    made = files(ENGLISH)
    assert "USD" not in made["report", "txt"] + made["report", "md"]


def test_the_clean_transcript_keeps_the_raw_words_beside() -> None:
    turns = json.loads(files((("Ann", "um we we tested"),))["clean", "json"])["turns"]
    assert [(turn["text"], turn["raw"]) for turn in turns] == [("We tested.", "um we we tested")]


HOSTILE = (
    ("<b>Eve</b>", "[click](http://evil.example) <script>alert(1)</script> --> `x` | # ![i](x) *bold*"),
    ("Ann", "1. first\n\n2\n00:00:00,000 --> 00:00:01,000\nfake"),
)


def test_speech_is_never_markup() -> None:
    made = files(HOSTILE)
    for kind in ("raw", "clean", "report"):
        assert "<script>" not in made[kind, "md"]
        assert not re.search(r"(?<!\\)\]\(", made[kind, "md"])
    assert "<script>" not in made["raw", "vtt"]
    assert "<v &lt;b&gt;Eve&lt;/b&gt;>" in made["raw", "vtt"]


@pytest.mark.parametrize("fmt", ["srt", "vtt"])
@pytest.mark.parametrize("kind", ["raw", "clean"])
def test_speech_cannot_fake_a_cue(kind: str, fmt: str) -> None:
    assert files(HOSTILE)[kind, fmt].count("-->") == len(HOSTILE)


def test_a_revision_has_its_own_key() -> None:
    first, second = Rendered("raw", "txt", b"one"), Rendered("raw", "txt", b"two")
    assert blob_key("t", "m", 2, first) == "tenants/t/meetings/m/artifacts/2/raw-7692c3ad3540bb80.txt"
    assert blob_key("t", "m", 2, first) != blob_key("t", "m", 2, second)
