"""What was really said in the sample interview. Only the check at the end reads it; no room ever sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from kit.lifecycle import StartError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "interview"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sentence: who, when on the callers' common clock (ms from its start), and the words."""

    speaker: str
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Speaker:
    """One caller: identifier within the interview, and name as shown."""

    id: str
    name: str
    language: str


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole interview; `seconds` is its length."""

    language: str
    seconds: float
    speakers: tuple[Speaker, ...]
    utterances: tuple[Utterance, ...]

    def said_by(self, speaker: Speaker) -> tuple[Utterance, ...]:
        """The speaker's sentences in order."""
        return tuple(utterance for utterance in self.utterances if utterance.speaker == speaker.id)


def read_reference(language: str, seconds: float | None = None) -> Reference:
    """Read the reference of one language; with `seconds`, only the sentences that end by then, cut before the next one.

    Raises:
        StartError: the sample interviews are not here.
    """
    path = EXAMPLES / language / "reference.json"
    if not path.exists():
        raise StartError("the sample interviews are not here: run the demo from a clone of the repository")
    found = json.loads(path.read_text(encoding="utf-8"))
    length = float(found["duration_seconds"])
    if seconds is not None:
        later = [u["start_ms"] / 1000 for u in found["utterances"] if u["end_ms"] > 1000 * seconds]
        length = min([length, seconds, *later])
    return Reference(
        language=found["language"],
        seconds=length,
        speakers=tuple(Speaker(s["id"], s["name"], s.get("language", language)) for s in found["speakers"]),
        utterances=tuple(
            Utterance(u["speaker"], u["start_ms"], u["end_ms"], u["text"])
            for u in found["utterances"]
            if u["end_ms"] <= 1000 * length
        ),
    )
