"""Silero's network for voice activity, as it ships inside faster-whisper."""

from faster_whisper.vad import get_vad_model

from services.stt.vad import VadSession


def load_vad_session() -> VadSession:
    """Load the network once for the process; sessions may be shared by threads."""
    session: VadSession = get_vad_model().session
    return session
