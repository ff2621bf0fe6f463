"""From a script to a call: each sentence spoken, placed on its speaker's track, and written down with its times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from examples.interview.codec import resample
from examples.interview.espeak import Speech, SpeechSource
from examples.interview.interview import (
    SAMPLE_RATE_HERTZ,
    Interview,
    Mute,
    Reference,
    Speaker,
    Track,
    Utterance,
    Word,
)
from examples.interview.script import Script, ScriptError

_PER_MS = SAMPLE_RATE_HERTZ // 1000
_AUDIBLE = 200
"""Amplitude (of 32,767) above which a sentence still sounds: 44 dB under full scale."""
_RELEASE_SAMPLES = 20 * _PER_MS
"""Kept after the last audible sample, so that a final consonant is not clipped."""
_WORD = re.compile(r"[\w'-]+")


@dataclass(frozen=True, slots=True)
class _Sentence:
    pcm: Track
    utterance: Utterance


def perform(script: Script, synthesiser: SpeechSource) -> Interview:
    """Speak a script.

    Raises:
        ScriptError: a speaker would talk over themselves or into their own mute, or a sentence got no sound.
        UnknownVoice: the synthesiser lacks a voice of the script.
    """
    sentences = tuple(_sentences(script, synthesiser))
    utterances = tuple(sentence.utterance for sentence in sentences)
    mutes = tuple(_mutes(script, utterances))
    _refuse_contradictions(utterances, mutes)
    seconds = math.ceil((max(one.end_ms for one in utterances) + script.tail_ms) / 1000)
    tracks = {speaker.id: np.zeros(seconds * SAMPLE_RATE_HERTZ, np.int16) for speaker in script.speakers}
    for sentence in sentences:
        start = sentence.utterance.start_ms * _PER_MS
        tracks[sentence.utterance.speaker][start : start + len(sentence.pcm)] = sentence.pcm
    reference = Reference(
        language=script.language,
        sample_rate=SAMPLE_RATE_HERTZ,
        duration_seconds=float(seconds),
        synthesiser=synthesiser.version,
        speakers=tuple(
            Speaker(one.id, one.name, one.role, script.language, f"{one.id}.flac") for one in script.speakers
        ),
        utterances=tuple(sorted(utterances, key=lambda one: one.start_ms)),
        mutes=mutes,
    )
    return Interview(reference, tracks)


def _sentences(script: Script, synthesiser: SpeechSource) -> Iterator[_Sentence]:
    voices = {speaker.id: speaker.voice for speaker in script.speakers}
    now_ms = 0
    for turn in script.turns:
        start_ms = max(now_ms + turn.pause_ms, 0)
        speech = synthesiser.say(turn.text, voices[turn.speaker])
        pcm = _audible(resample(speech.pcm, speech.sample_rate_hertz, SAMPLE_RATE_HERTZ))
        now_ms = start_ms + math.ceil(len(pcm) / _PER_MS)
        words = tuple(_words(turn.text, speech, start_ms, now_ms))
        yield _Sentence(pcm, Utterance(turn.speaker, start_ms, now_ms, turn.text, words))


def _audible(pcm: Track) -> Track:
    """Drop the quiet that the synthesiser leaves after a sentence; its beginning is the first word's."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > _AUDIBLE)
    return pcm[: int(loud[-1]) + 1 + _RELEASE_SAMPLES] if len(loud) else pcm[:0]


def _words(text: str, speech: Speech, start_ms: int, end_ms: int) -> Iterator[Word]:
    """Give every word its span: it lasts until the next one starts, as the synthesiser leaves no gaps in a sentence.

    Where the synthesiser runs words together ("for the") it tells one start: their time is divided by letters.
    """
    starts = {word.first_character: start_ms + round(word.start_seconds * 1000) for word in speech.words}
    groups: list[list[re.Match[str]]] = []
    for match in _WORD.finditer(text):
        if match.start() in starts:
            groups.append([match])
        elif groups:
            groups[-1].append(match)
    if not groups:
        raise ScriptError(f"{text!r}: the synthesiser gave no word times")
    edges = [*(starts[group[0].start()] for group in groups), end_ms]
    for group, (first_ms, last_ms) in zip(groups, pairwise(edges), strict=True):
        letters = [len(match.group()) for match in group]
        cuts = [first_ms + (last_ms - first_ms) * said // sum(letters) for said in accumulate(letters, initial=0)]
        for match, (word_start_ms, word_end_ms) in zip(group, pairwise(cuts), strict=True):
            yield Word(match.group(), word_start_ms, word_end_ms)


def _mutes(script: Script, utterances: tuple[Utterance, ...]) -> Iterator[Mute]:
    """Join neighbouring turns with the same muted listener into one span, the pauses between them included."""
    current: Mute | None = None
    for turn, utterance in zip(script.turns, utterances, strict=True):
        if current is not None and turn.muted == current.speaker:
            current = Mute(current.speaker, current.start_ms, utterance.end_ms)
            continue
        if current is not None:
            yield current
        current = Mute(turn.muted, utterance.start_ms, utterance.end_ms) if turn.muted is not None else None
    if current is not None:
        yield current


def _refuse_contradictions(utterances: tuple[Utterance, ...], mutes: tuple[Mute, ...]) -> None:
    free_from: dict[str, int] = {}
    for utterance in utterances:
        if utterance.start_ms < free_from.get(utterance.speaker, 0):
            raise ScriptError(f"{utterance.speaker} is still speaking when {utterance.text!r} starts")
        free_from[utterance.speaker] = utterance.end_ms
        for mute in mutes:
            if mute.speaker == utterance.speaker and (
                mute.start_ms < utterance.end_ms and utterance.start_ms < mute.end_ms
            ):
                raise ScriptError(f"{utterance.speaker} says {utterance.text!r} into a muted microphone")
