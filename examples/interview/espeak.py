"""Speech synthesis: a typed hold on libespeak-ng, which also tells at which sample each word starts.

The library keeps its voice, and the noise it mixes into one, in the process: a sentence said twice differs in a few
samples, and the same sentences in the same order in a new process are the same to the byte. Call it from one thread.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

LIBRARIES = ("libespeak-ng.so.1", "libespeak-ng.1.dylib", "libespeak-ng.dll")
"""As Linux, macOS and Windows name it."""

_SYNCHRONOUS_OUTPUT = 2
_CHARACTERS_UTF8 = 1
_POSITION_CHARACTER = 1
_EVENT_END, _EVENT_WORD = 0, 1
_PARAMETER_RATE, _PARAMETER_VOLUME, _PARAMETER_PITCH = 1, 2, 3


class SynthesiserMissing(RuntimeError):
    """The espeak-ng library or its data is not on this machine."""


class UnknownVoice(ValueError):
    """espeak-ng has no voice or variant of this name."""


@dataclass(frozen=True, slots=True)
class Voice:
    """How one speaker sounds."""

    name: str
    """espeak-ng voice with an optional variant: `en-us+f2`."""
    words_per_minute: int
    pitch: int = 50
    """0 (low) to 99 (high)."""
    volume: int = 100
    """Amplitude in percent of the voice's own; above 100 it may clip."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word event: which characters of the text, and when they start to sound."""

    first_character: int
    start_seconds: float


@dataclass(frozen=True, slots=True)
class Speech:
    """One synthesised text."""

    pcm: NDArray[np.int16]
    """Mono, shape (samples,)."""
    sample_rate_hertz: int
    words: tuple[SpokenWord, ...]
    """In the order of the text."""


class SpeechSource(Protocol):
    """What makes speech of text."""

    @property
    def version(self) -> str:
        """Name and version: another one may speak other samples."""

    def say(self, text: str, voice: Voice) -> Speech:
        """Speak one sentence; raises UnknownVoice."""


class _Identifier(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Synthesiser:
    """A loaded library; made by `load_synthesiser`."""

    def __init__(self, library: ctypes.CDLL, sample_rate_hertz: int) -> None:
        self._library = library
        self._sample_rate_hertz = sample_rate_hertz
        self._pieces: list[NDArray[np.int16]] = []
        self._words: list[SpokenWord] = []
        # The library keeps the pointer only: without this reference the callback would be freed under it.
        self._callback = _Callback(self._receive)
        library.espeak_SetSynthCallback(self._callback)

    @property
    def version(self) -> str:
        """Such as `espeak-ng 1.51`."""
        info = self._library.espeak_Info
        info.restype = ctypes.c_char_p
        return f"espeak-ng {info(None).decode()}"

    def say(self, text: str, voice: Voice) -> Speech:
        """Speak one sentence.

        Args:
            text: plain text in the voice's language.
            voice: applied anew on each call, so sentences do not colour each other.

        Returns:
            The samples at the library's own rate (22,050 Hz in 1.51), with a word event for each spoken word.

        Raises:
            UnknownVoice: the library has no such voice or variant.
        """
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise UnknownVoice(f"espeak-ng has no voice {voice.name!r}")
        for parameter, value in (
            (_PARAMETER_RATE, voice.words_per_minute),
            (_PARAMETER_PITCH, voice.pitch),
            (_PARAMETER_VOLUME, voice.volume),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._pieces, self._words = [], []
        raw = text.encode() + b"\0"
        self._library.espeak_Synth(
            raw, ctypes.c_size_t(len(raw)), 0, _POSITION_CHARACTER, 0, _CHARACTERS_UTF8, None, None
        )
        self._library.espeak_Synchronize()
        pcm = np.concatenate([np.zeros(0, np.int16), *self._pieces])
        return Speech(pcm=pcm, sample_rate_hertz=self._sample_rate_hertz, words=tuple(self._words))

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        # The last call of a sentence has no samples, a null pointer; the buffer is used again after each call.
        if count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            event = events[index]
            # Now and then a word of no length marks the sentence's end; positions count from 1.
            if event.type == _EVENT_WORD and event.length > 0:
                self._words.append(SpokenWord(event.text_position - 1, event.audio_position / 1000))
            index += 1
        return 0


@cache
def load_synthesiser(libraries: tuple[str, ...] = LIBRARIES) -> Synthesiser:
    """Load libespeak-ng, by the first name that is found; later calls in the process return the same synthesiser.

    It is never terminated: espeak-ng 1.51 hangs when it is initialised a second time.

    Raises:
        SynthesiserMissing: the library or its voices cannot be loaded.
    """
    library = _load(libraries)
    sample_rate_hertz = int(library.espeak_Initialize(_SYNCHRONOUS_OUTPUT, 0, None, 0))
    if sample_rate_hertz <= 0:
        raise SynthesiserMissing("espeak-ng is here but its voices are not; Debian: apt-get install espeak-ng-data")
    return Synthesiser(library, sample_rate_hertz)


def _load(libraries: tuple[str, ...]) -> ctypes.CDLL:
    for name in libraries:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise SynthesiserMissing("espeak-ng is not installed; Debian: apt-get install espeak-ng libespeak-ng1")
