"""A script becomes tracks and times; contradictions are refused. The voice is a scripted one: 100 ms a letter."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from examples.interview.espeak import Speech, SpokenWord, Voice
from examples.interview.interview import Mute
from examples.interview.script import Script, ScriptError
from examples.interview.timeline import perform


class LetterVoice:
    """Speaks 100 ms for each character; runs "for the" together, as espeak-ng does."""

    version = "letters 1"

    def say(self, text: str, voice: Voice) -> Speech:
        starts = [0, *(index + 1 for index, letter in enumerate(text) if letter == " ")]
        return Speech(
            # The last 20 ms are quiet: what is kept after a sentence.
            pcm=np.repeat(np.array([1000, 0], np.int16), [len(text) * 1600 - 320, 320]),
            sample_rate_hertz=16_000,
            words=tuple(SpokenWord(start, start / 10) for start in starts if not text[:start].endswith("for ")),
        )


def script(*turns: dict[str, object]) -> Script:
    voice = {"name": "any", "words_per_minute": 150}
    speakers = [
        {"id": "ann", "name": "Ann", "role": "interviewer", "voice": voice},
        {"id": "bob", "name": "Bob", "role": "candidate", "voice": voice},
    ]
    return Script.model_validate({"language": "en", "tail_ms": 500, "speakers": speakers, "turns": turns})


def turn(speaker: str, pause_ms: int, text: str = "ten chars.", muted: str | None = None) -> dict[str, object]:
    return {"speaker": speaker, "pause_ms": pause_ms, "text": text, "muted": muted}


def test_pauses_and_overlaps_place_the_turns() -> None:
    interview = perform(script(turn("ann", 500), turn("bob", -400), turn("ann", 1000)), LetterVoice())
    assert [(one.speaker, one.start_ms, one.end_ms) for one in interview.utterances()] == [
        ("ann", 500, 1500),
        ("bob", 1100, 2100),
        ("ann", 3100, 4100),
    ]
    assert interview.duration_seconds == 5
    assert np.flatnonzero(interview.tracks["bob"])[0] == 1100 * 16


def test_words_run_together_share_their_time_by_letters() -> None:
    (utterance,) = perform(script(turn("ann", 0, "Wait for the end.")), LetterVoice()).utterances()
    assert [(word.word, word.start_ms, word.end_ms) for word in utterance.words] == [
        ("Wait", 0, 500),
        ("for", 500, 900),
        ("the", 900, 1300),
        ("end", 1300, 1700),
    ]


def test_neighbouring_muted_turns_are_one_mute() -> None:
    interview = perform(
        script(turn("ann", 0, muted="bob"), turn("ann", 900, muted="bob"), turn("ann", 900), turn("bob", 900)),
        LetterVoice(),
    )
    assert interview.mutes == (Mute("bob", 0, 2900),)


def test_nobody_speaks_over_themselves() -> None:
    with pytest.raises(ScriptError, match="ann is still speaking"):
        perform(script(turn("ann", 0), turn("ann", -100)), LetterVoice())


def test_nobody_speaks_into_a_muted_microphone() -> None:
    with pytest.raises(ScriptError, match="into a muted microphone"):
        perform(script(turn("ann", 0, muted="bob"), turn("bob", -100)), LetterVoice())


def test_a_turn_of_a_stranger_is_refused() -> None:
    with pytest.raises(ValidationError, match="turn 1 is spoken by 'eve'"):
        script(turn("eve", 0))


def test_a_speaker_cannot_mute_themselves_by_speaking() -> None:
    with pytest.raises(ValidationError, match="turn 1 mutes 'ann'"):
        script(turn("ann", 0, muted="ann"))
