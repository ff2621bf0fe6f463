"""One thing that the doctor looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What it is, how it stands, and, unless it is well, what to do about it."""

    subject: str
    state: State
    detail: str


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).strip().partition("\n")[0].split()) or type(error).__name__
