"""Endpointing: where utterances begin and end, and that nothing but the samples decides it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from faster_whisper.vad import get_vad_model
from hypothesis import given, settings
from hypothesis import strategies as st

from services.stt.audio import Pcm, samples_of, to_waveform
from services.stt.endpointing import Endpointer, EndpointingRules, Event, SilenceSettled, SpeechBegan, Utterance
from services.stt.engines.silero import load_vad_session
from services.stt.vad import VoiceNetwork
from tests.data.speech import sounds
from tests.data.speech.sentences import noise, sentences, silence, track

_RULES = EndpointingRules(settle_silence_samples=samples_of(1.5))
_TRACK = np.concatenate([track(sentences()[:3], pause_seconds=0.8), silence(3.0), track(sentences()[3:4])])

Outline = list[tuple[str, int, int, bytes]]


def _endpointer(start_sample: int = 0, rules: EndpointingRules = _RULES) -> Endpointer:
    return Endpointer(load_vad_session(), rules, start_sample)


def _cut(pcm: Pcm, sizes: list[int] | None = None, *, start_sample: int = 0) -> list[Event]:
    endpointer, events, position, turn = _endpointer(start_sample), list[Event](), 0, 0
    while position < len(pcm):
        size = sizes[turn % len(sizes)] if sizes else len(pcm)
        events += endpointer.feed(pcm[position : position + size])
        position, turn = position + size, turn + 1
    return events + endpointer.flush()


def _outline(events: list[Event]) -> Outline:
    """What is decided, in comparable form."""
    return [
        ("utterance", event.start_sample, event.end_sample, event.waveform.tobytes())
        if isinstance(event, Utterance)
        else ("settled", event.boundary_sample, 0, b"")
        for event in events
        if not isinstance(event, SpeechBegan)
    ]


def _boundaries(events: list[Event]) -> list[int]:
    return [event.boundary_sample for event in events if not isinstance(event, SpeechBegan)]


_WHOLE = _cut(_TRACK)


def test_each_sentence_is_one_utterance_around_its_sound() -> None:
    pause, sentence = samples_of(1.0), sentences()[0]
    [utterance] = [event for event in _cut(track([sentence])) if isinstance(event, Utterance)]
    assert pause - samples_of(0.4) < utterance.start_sample < pause
    assert pause + len(sentence.pcm) - samples_of(0.5) < utterance.end_sample <= pause + len(sentence.pcm)
    assert utterance.is_speech
    assert len(utterance.waveform) == utterance.boundary_sample - utterance.start_sample


def test_an_utterance_holds_the_samples_of_its_place() -> None:
    for event in _WHOLE:
        if isinstance(event, Utterance):
            expected = to_waveform(_TRACK[event.start_sample : event.boundary_sample])
            assert np.array_equal(event.waveform, expected)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=12))
def test_the_size_of_the_pieces_does_not_matter(sizes: list[int]) -> None:
    assert _outline(_cut(_TRACK, sizes)) == _outline(_WHOLE)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(_boundaries(_WHOLE)[:-1]), st.lists(st.integers(1, 40_000), min_size=1, max_size=12))
def test_a_replay_from_any_boundary_cuts_the_same(boundary: int, sizes: list[int]) -> None:
    replayed = _cut(_TRACK[boundary:], sizes, start_sample=boundary)
    later = _outline(_WHOLE)[_boundaries(_WHOLE).index(boundary) + 1 :]
    assert _outline(replayed) == later


def test_boundaries_go_forward_and_reach_the_end() -> None:
    boundaries = _boundaries(_WHOLE)
    assert all(before < after for before, after in pairwise(boundaries))
    assert boundaries[-1] == len(_TRACK)


@pytest.mark.parametrize(
    "sound", [silence(12.0), noise(12.0), noise(12.0, amplitude=3_000)], ids=["zeros", "hiss", "roar"]
)
def test_silence_and_noise_are_settled_without_an_utterance(sound: Pcm) -> None:
    events = _cut(sound)
    assert all(isinstance(event, SilenceSettled) for event in events)
    assert len(events) > 5


@pytest.mark.parametrize(
    ("sound", "decibels"),
    [
        *((sounds.noise(12.0, slope=slope, seed=slope), level) for slope in (0, 1, 2) for level in (-50, -30, -10)),
        *((sounds.hum(12.0, hertz), level) for hertz in (50.0, 100.0) for level in (-50, -30, -10)),
        *((sounds.chords(12.0, seed), level) for seed in (0, 1) for level in (-35, -20, -10)),
        (sounds.clicks(12.0, 1), -30),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "sound",
)
def test_noise_hum_chords_and_typing_hold_no_speech(sound: sounds.Sound, decibels: int) -> None:
    events = _cut(sounds.at_level(sound, decibels))
    assert not any(event.is_speech for event in events if isinstance(event, Utterance))


def test_melodies_that_wake_the_network_are_told_from_speech() -> None:
    tunes = [sounds.at_level(sounds.melody(12.0, seed), level) for seed in range(6) for level in (-35, -20)]
    woken = [event for tune in tunes for event in _cut(tune) if isinstance(event, Utterance)]
    long_enough = [event for event in woken if event.end_sample - event.start_sample > samples_of(0.6)]
    assert len(long_enough) > 10, "these are the sounds that the rule is for"
    assert sum(event.is_speech for event in long_enough) < 0.25 * len(long_enough)


def test_a_voice_from_afar_is_speech() -> None:
    for number, sentence in enumerate(sentences()):
        for decibels, echo_seconds in ((-50, 0.0), (-60, 0.0), (-35, 0.3)):
            heard = sounds.far(sentence.pcm, decibels=decibels, echo_seconds=echo_seconds, seed=number)
            assert any(event.is_speech for event in _cut(heard) if isinstance(event, Utterance))


class _AlwaysAsked(VoiceNetwork):
    """The network without what is known of silence."""

    def quiet_probabilities(self, start: int, end: int) -> list[float] | None:
        return None


def test_what_is_known_of_silence_changes_no_cut() -> None:
    pcm = np.concatenate([silence(21.0), _TRACK, silence(6.3), sounds.far(sentences()[4].pcm, decibels=-50)])
    known = Endpointer(load_vad_session(), _RULES)
    asked = Endpointer(_AlwaysAsked(get_vad_model().session), _RULES)
    assert _outline(known.feed(pcm) + known.flush()) == _outline(asked.feed(pcm) + asked.flush())


def test_a_click_is_not_speech() -> None:
    spoken = sentences("en")[0].pcm
    click = spoken[samples_of(0.3) : samples_of(0.42)]
    events = _cut(np.concatenate([silence(1.0), click, silence(1.0)]))
    assert not any(event.is_speech for event in events if isinstance(event, Utterance))


def test_a_long_utterance_is_cut_without_a_hole() -> None:
    rules = replace(_RULES, longest_utterance_samples=samples_of(3.0), end_silence_samples=samples_of(2.0))
    spoken = np.concatenate([sentence.pcm for sentence in sentences()])
    endpointer = _endpointer(rules=rules)
    events = endpointer.feed(spoken) + endpointer.flush()
    utterances = [event for event in events if isinstance(event, Utterance)]
    assert len(utterances) > 3
    assert all(len(event.waveform) <= samples_of(3.0) for event in utterances)
    assert all(later.start_sample == sooner.boundary_sample for sooner, later in pairwise(utterances))


def test_a_flush_closes_the_open_utterance_where_it_is() -> None:
    endpointer = _endpointer()
    pcm = track(sentences()[:1])[: samples_of(1.8)]
    endpointer.feed(pcm)
    assert endpointer.open_speech is not None
    assert len(endpointer.open_waveform()) == len(pcm) - endpointer.open_speech.start_sample
    [closed] = endpointer.flush()
    assert isinstance(closed, Utterance)
    assert closed.boundary_sample == endpointer.received_sample == len(pcm)
    assert endpointer.open_speech is None
    assert endpointer.flush() == []
