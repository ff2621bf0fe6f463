"""Silero's network for voice activity, as it ships inside faster-whisper."""

from functools import cache

from faster_whisper.vad import get_vad_model

from services.stt.vad import VoiceNetwork


@cache
def load_vad_session() -> VoiceNetwork:
    """Load the network once for the process."""
    return VoiceNetwork(get_vad_model().session)
