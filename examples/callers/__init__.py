"""Callers: real WebRTC participants without a browser, for the demonstration and the tests."""

from examples.callers.caller import Caller, open_caller
from examples.callers.speech import Speech, speech_from_samples, speech_from_wav

__all__ = ["Caller", "Speech", "open_caller", "speech_from_samples", "speech_from_wav"]
