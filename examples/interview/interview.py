"""The sample call as a value: one track per speaker, and the truth of what was said when.

`load("en")` and `load("ru")` read what `synthesise.py` made; nothing here needs espeak-ng.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from examples.interview.codec import read_flac, write_flac
from examples.interview.script import Role

HERE = Path(__file__).parent
LANGUAGES = ("en", "ru")
SAMPLE_RATE_HERTZ = 16_000
REFERENCE_FILE = "reference.json"

Track = NDArray[np.int16]
"""Mono at 16 kHz, shape (samples,); sample 0 is the call's start."""


class InterviewError(ValueError):
    """The files of an interview are absent, broken or do not fit each other; the message names the file."""


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, spelled as in the text without punctuation; milliseconds from the call's start."""

    word: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sentence by one speaker; milliseconds from the call's start, no quiet included."""

    speaker: str
    start_ms: int
    end_ms: int
    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Speaker:
    """One participant; `file` is the track beside the reference."""

    id: str
    name: str
    role: Role
    language: str
    file: str


@dataclass(frozen=True, slots=True)
class Mute:
    """A speaker's microphone is off from start to end (half-open); their track is zero there."""

    speaker: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Reference:
    """What `reference.json` holds."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    language: str
    sample_rate: int
    """Hertz."""
    duration_seconds: float
    """Of every track."""
    synthesiser: str
    """Name and version of what spoke it."""
    speakers: tuple[Speaker, ...]
    utterances: tuple[Utterance, ...]
    """In the order in which they start."""
    mutes: tuple[Mute, ...]


_REFERENCE = TypeAdapter(Reference)


@dataclass(frozen=True, slots=True)
class Interview:
    """One recorded call."""

    reference: Reference
    tracks: Mapping[str, Track]
    """By speaker id; all of the same length."""

    @property
    def language(self) -> str:
        return self.reference.language

    @property
    def duration_seconds(self) -> float:
        return self.reference.duration_seconds

    @property
    def speakers(self) -> tuple[Speaker, ...]:
        return self.reference.speakers

    @property
    def mutes(self) -> tuple[Mute, ...]:
        return self.reference.mutes

    def utterances(self, speaker_id: str | None = None) -> tuple[Utterance, ...]:
        """Everything said, or what one speaker said, in time order."""
        return tuple(one for one in self.reference.utterances if speaker_id in (None, one.speaker))

    def text(self, speaker_id: str) -> str:
        """All that one speaker said, sentences joined by a blank."""
        return " ".join(utterance.text for utterance in self.utterances(speaker_id))


def load(language: str, root: Path = HERE) -> Interview:
    """Read an interview.

    Args:
        language: `en` or `ru`, the folder's name.
        root: the folder that holds the languages.

    Raises:
        InterviewError: a file is absent or broken, or a track's rate or length is not the reference's.
    """
    folder = root / language
    try:
        reference = _REFERENCE.validate_json((folder / REFERENCE_FILE).read_bytes())
        decoded = {speaker.id: read_flac(folder / speaker.file) for speaker in reference.speakers}
    except (OSError, ValidationError) as error:
        raise InterviewError(f"{folder}: {error}") from error
    samples = round(reference.duration_seconds * reference.sample_rate)
    for speaker in reference.speakers:
        pcm, sample_rate_hertz = decoded[speaker.id]
        if (sample_rate_hertz, len(pcm)) != (reference.sample_rate, samples):
            raise InterviewError(
                f"{folder / speaker.file}: {len(pcm)} samples at {sample_rate_hertz} Hz, "
                f"the reference says {samples} at {reference.sample_rate} Hz"
            )
    return Interview(reference, {name: pcm for name, (pcm, _) in decoded.items()})


def save(interview: Interview, folder: Path) -> None:
    """Write the tracks and the reference; the same interview gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for speaker in interview.speakers:
        write_flac(folder / speaker.file, interview.tracks[speaker.id], interview.reference.sample_rate)
    text = json.dumps(asdict(interview.reference), ensure_ascii=False, indent=1)
    (folder / REFERENCE_FILE).write_text(text + "\n", encoding="utf-8")
