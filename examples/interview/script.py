"""The authored source of an interview, `<language>/script.toml`: who speaks, how they sound, what they say, when."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError, model_validator

from examples.interview.espeak import Voice

Role = Literal["interviewer", "candidate"]


class ScriptError(ValueError):
    """The script cannot be read or contradicts itself; the message names the file."""


class _Authored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Speaker(_Authored):
    """One participant and the voice they are given."""

    id: Annotated[str, Field(pattern=r"^[a-z]+$")]
    name: Annotated[str, Field(min_length=1)]
    role: Role
    voice: Voice


class Turn(_Authored):
    """One utterance. Turns are in the order in which they start."""

    speaker: str
    text: Annotated[str, Field(min_length=1)]
    pause_ms: Annotated[int, Field(ge=-5_000, le=10_000)]
    """From the end of the turn before (for the first: from the call's start); below zero, they overlap."""
    muted: str | None = None
    """A listener whose microphone is off while this is said, and until the next turn is over if that mutes them too."""


class Script(_Authored):
    """One interview as written."""

    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")]
    tail_ms: NonNegativeInt
    """Quiet after the last word; the call then ends on the next whole second."""
    speakers: Annotated[tuple[Speaker, ...], Field(min_length=1)]
    turns: Annotated[tuple[Turn, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_only_its_speakers(self) -> Script:
        known = {speaker.id for speaker in self.speakers}
        for number, turn in enumerate(self.turns, start=1):
            if turn.speaker not in known:
                raise ValueError(f"turn {number} is spoken by {turn.speaker!r}, who is not among the speakers")
            if turn.muted is not None and turn.muted not in known - {turn.speaker}:
                raise ValueError(f"turn {number} mutes {turn.muted!r}, who is not listening to it")
        if self.turns[0].pause_ms < 0:
            raise ValueError("the first turn cannot start before the call")
        return self


def load_script(path: Path) -> Script:
    """Read and check a script.

    Raises:
        ScriptError: the file is absent, not TOML, or does not describe an interview.
    """
    try:
        return Script.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ScriptError(f"{path}: {error}") from error
