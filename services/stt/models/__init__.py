"""The models that ship with the room: one, ours, for tests and the demonstration."""

from pathlib import Path

TINY_WHISPER = "tiny-whisper"
"""Name that every result of the demonstration model carries."""


def tiny_whisper_directory() -> Path:
    """Return the directory of the demonstration model, in a clone and in an installed wheel alike."""
    return Path(__file__).parent / "tiny_whisper"
