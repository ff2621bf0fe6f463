"""The sample call is whole: its tracks fit its reference, and its reference keeps what the README promises."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from examples.interview.interview import HERE, LANGUAGES, Interview, InterviewError, load
from examples.interview.words import normalise

SAMPLES_PER_MS = 16


@pytest.fixture(params=LANGUAGES, scope="module")
def interview(request: pytest.FixtureRequest) -> Interview:
    return load(request.param)


def test_every_track_is_as_long_as_the_reference_says(interview: Interview) -> None:
    assert 120 <= interview.duration_seconds <= 180
    assert {len(track) for track in interview.tracks.values()} == {round(interview.duration_seconds * 16_000)}
    assert all(track.dtype == np.int16 for track in interview.tracks.values())


def test_one_interviewer_and_one_candidate_talk(interview: Interview) -> None:
    assert sorted(speaker.role for speaker in interview.speakers) == ["candidate", "interviewer"]
    for speaker in interview.speakers:
        assert len(interview.utterances(speaker.id)) >= 10


def test_sentences_of_a_speaker_stand_apart_and_last(interview: Interview) -> None:
    for speaker in interview.speakers:
        spoken = interview.utterances(speaker.id)
        assert all(utterance.end_ms - utterance.start_ms > 500 for utterance in spoken)
        assert all(after.start_ms - before.end_ms >= 800 for before, after in pairwise(spoken))


def test_both_speak_at_once_more_than_once(interview: Interview) -> None:
    spoken = interview.utterances()
    overlaps = [before.end_ms - after.start_ms for before, after in pairwise(spoken) if after.start_ms < before.end_ms]
    assert len(overlaps) >= 2
    assert max(overlaps) >= 1000


def test_tracks_sound_where_their_speaker_speaks_and_nowhere_else(interview: Interview) -> None:
    for speaker in interview.speakers:
        quiet = interview.tracks[speaker.id].copy()
        for utterance in interview.utterances(speaker.id):
            span = slice(utterance.start_ms * SAMPLES_PER_MS, utterance.end_ms * SAMPLES_PER_MS)
            assert np.abs(quiet[span].astype(np.int32)).max() > 2000
            quiet[span] = 0
        assert not quiet.any()


def test_the_candidate_is_muted_once_while_silent(interview: Interview) -> None:
    (mute,) = interview.mutes
    candidate = next(speaker for speaker in interview.speakers if speaker.role == "candidate")
    assert mute.speaker == candidate.id
    assert 6_000 <= mute.end_ms - mute.start_ms <= 10_000
    assert not interview.tracks[mute.speaker][mute.start_ms * SAMPLES_PER_MS : mute.end_ms * SAMPLES_PER_MS].any()


def test_words_are_the_text_and_fill_the_utterance(interview: Interview) -> None:
    for utterance in interview.utterances():
        assert normalise(" ".join(word.word for word in utterance.words)) == normalise(utterance.text)
        assert (utterance.words[0].start_ms, utterance.words[-1].end_ms) == (utterance.start_ms, utterance.end_ms)
        assert all(before.end_ms == after.start_ms for before, after in pairwise(utterance.words))
        assert all(word.start_ms < word.end_ms for word in utterance.words)


def test_a_reference_of_another_length_is_refused(tmp_path: Path) -> None:
    shutil.copytree(HERE / "en", tmp_path / "en")
    reference = tmp_path / "en" / "reference.json"
    content = json.loads(reference.read_text(encoding="utf-8"))
    reference.write_text(json.dumps(content | {"duration_seconds": 1.0}), encoding="utf-8")
    with pytest.raises(InterviewError, match="the reference says 16000"):
        load("en", tmp_path)


def test_an_absent_language_is_named(tmp_path: Path) -> None:
    with pytest.raises(InterviewError, match="fr"):
        load("fr", tmp_path)
