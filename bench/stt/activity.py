"""Endpointing: live tracks that one core listens to, speech or not, when nothing is decoded."""

from collections.abc import Sequence
from time import thread_time

from bench.stt.calls import Call
from bench.stt.ours import SETTINGS
from services.stt.audio import SAMPLE_RATE_HERTZ, samples_of
from services.stt.endpointing import Endpointer
from services.stt.engines.silero import load_vad_session

_PIECE_SAMPLES = samples_of(0.1)


def streams_per_core(tracks: Sequence[Call]) -> float:
    """Hear the tracks in pieces of 100 ms; returns seconds of sound per second of processor time."""
    session = load_vad_session()
    started = thread_time()
    for track in tracks:
        endpointer = Endpointer(session, SETTINGS.endpointing)
        for start in range(0, len(track.pcm), _PIECE_SAMPLES):
            endpointer.feed(track.pcm[start : start + _PIECE_SAMPLES])
    return sum(len(track.pcm) for track in tracks) / SAMPLE_RATE_HERTZ / (thread_time() - started)
