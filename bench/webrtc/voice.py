"""The voices of the bench: the sample interview, spoken without a break or with its own pauses, as Opus packets."""

import numpy as np
from numpy.typing import NDArray

from examples.callers.speech import Speech, speech_from_samples
from examples.interview.interview import load

RATE = 16_000
FRAME = RATE // 50
_VOICED_PEAK = 32
_COMFORT_FRAMES = 20


def samples(number: int, seconds: float, *, pauses: bool) -> NDArray[np.int16]:
    """Return speaker `number` for so long, repeated as often as needed; without pauses every frame has something."""
    interview = load("en")
    tracks = [interview.tracks[speaker.id] for speaker in interview.speakers]
    track = tracks[number % len(tracks)]
    frames = track[: len(track) // FRAME * FRAME].reshape(-1, FRAME)
    if not pauses:
        frames = frames[np.abs(frames.astype(np.int32)).max(axis=1) >= _VOICED_PEAK]
    elif number >= len(tracks):
        frames = np.roll(frames, 250 * number, axis=0)  # somebody else, at other times
    wanted = round(seconds * 50)
    return np.tile(frames, (wanted // len(frames) + 1, 1))[:wanted].reshape(-1)


def packets(number: int, seconds: float, *, pauses: bool) -> list[bytes | None]:
    """Encode `samples`; None where DTX sends nothing, with a sign of life every 400 ms."""
    speech: Speech = speech_from_samples(samples(number, seconds, pauses=pauses))
    return [
        packet or (speech.silence if index % _COMFORT_FRAMES == 0 else None)
        for index, packet in enumerate(speech.packets)
    ]
