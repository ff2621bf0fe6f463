"""The whole report: facts in the headline, warnings that matter, and evidence whatever comes in."""

import os
import re
import string
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.report.analysis.analyser import analyse
from services.report.artifacts import KINDS, render_report, render_transcripts
from services.report.document import CoverageTotals, ParticipantCoverage
from services.report.transcript import Segment, Transcript, Word
from services.report.verification import verify
from services.report.wire import report_message, to_json
from tests.unit.report.interview import ENGLISH, HELD_ON, NOW, RUSSIAN, transcript


def test_the_headline_is_made_of_facts() -> None:
    assert analyse(transcript(ENGLISH), NOW).headline == (
        "40 s, 2 speakers, Ben spoke 56 %, 3 questions, 3 commitments, 2 requests"
    )
    assert analyse(transcript(RUSSIAN), NOW).headline == (
        "40 с, 2 участника, Борис: 56 % речи, 3 вопроса, 3 обещания, 2 просьбы"
    )


def test_a_silent_meeting_has_a_report_too() -> None:
    report = analyse(transcript([]), NOW)
    assert report.headline == "40 s, nobody spoke"
    assert report.warnings == ("No words were recognised in this meeting.",)
    assert verify(report, []) == []


def test_warnings_name_the_model_and_what_is_missing() -> None:
    coverage = (ParticipantCoverage("ben", "Ben", CoverageTotals(transcribed=35_960, lost=4_040)),)
    made = transcript(ENGLISH, coverage)
    made = replace(made, segments=tuple(replace(one, engine="demo", model="tiny-whisper") for one in made.segments))
    demo, lost = analyse(made, NOW).warnings
    assert "demo/tiny-whisper" in demo
    assert "4.1 s of Ben never arrived" in lost


def test_text_without_punctuation_is_warned_about() -> None:
    made = transcript([("Ann", "we tested the service"), ("Ben", "we changed the report")])
    assert any("punctuation" in warning for warning in analyse(made, NOW).warnings)


def test_the_same_words_give_the_same_bytes_under_every_hash_seed() -> None:
    program = (
        "from tests.unit.report.interview import ENGLISH, NOW, RUSSIAN, transcript\n"
        "from services.report.analysis.analyser import analyse\n"
        "from services.report.wire import report_message, to_json\n"
        "print(to_json(report_message(analyse(transcript(ENGLISH + RUSSIAN), NOW))))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


WORDS = re.findall(
    r"\S+",
    """I will send the report tomorrow . ? , ! … um the the in two days we decided please Can you review
    Я отправлю отчёт завтра можно проверить до пятницы ну эээ мы решили риск 30 февраля İ 2026-02-30""",
)
SPEECH = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(WORDS),
        max_size=14,
    ).map(" ".join),
    st.text(alphabet=string.punctuation + " aя?", max_size=20),
)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Any text, any overlap, with and without words' times, from one to three speakers."""
    made = []
    for index, text in enumerate(draw(st.lists(SPEECH, max_size=8))):
        start = draw(st.integers(0, 60_000))
        end = start + draw(st.integers(0, 20_000))
        timed = draw(st.booleans())
        words = tuple(Word(word, start, end) for word in text.split()) if timed else ()
        who = draw(st.sampled_from(["ann", "ben", "eva"]))
        made.append(Segment(f"s{index}", who, who.title(), start, end, text, index + 1, words))
    return Transcript("m1", 1, tuple(made), HELD_ON, length_ms=draw(st.integers(0, 90_000)))


@settings(max_examples=150, deadline=None)
@given(transcripts())
def test_every_claim_has_evidence_whatever_is_said(made: Transcript) -> None:
    report = analyse(made, NOW)
    assert verify(report, made.segments) == []
    assert report.talk.silence_ms >= 0
    assert sum(speaker.talk_ratio for speaker in report.talk.speakers) == pytest.approx(1.0) or not any(
        speaker.talk_ms for speaker in report.talk.speakers
    )
    assert to_json(report_message(report))
    files = (*render_transcripts(made), *render_report(report))
    assert [(file.kind, file.fmt) for file in files] == [(kind, fmt) for kind in KINDS for fmt in KINDS[kind]]
