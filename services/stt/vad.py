"""Voice activity of one track: Silero's network, its state kept per track, its weights shared by all."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services.stt.audio import Waveform

WINDOW_SAMPLES = 512
"""32 ms, the step of the network."""
WINDOWS_PER_CALL = 3
"""A third cheaper per window than one at a time; more would only add delay."""
_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (1, 1, 128)


class VadSession(Protocol):
    """The network: `input` [windows, 576], `h` and `c` [1, 1, 128] -> probabilities, h, c."""

    def run(self, output_names: None, feed: dict[str, NDArray[np.float32]], /) -> list[Any]: ...


class VoiceActivity:
    """Speech probabilities of one track's windows, in order.

    The outcome depends on the samples since the last `restart` alone, not on how many come per call.
    """

    def __init__(self, session: VadSession) -> None:
        self._session = session
        self.restart()

    def restart(self) -> None:
        """Forget everything heard."""
        self._h = np.zeros(_STATE_SHAPE, np.float32)
        self._c = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)

    def probabilities(self, samples: Waveform) -> list[float]:
        """Hear the next windows.

        Args:
            samples: a whole number of windows, shape (k * 512,).

        Returns:
            k probabilities of speech.
        """
        heard = np.concatenate([self._context, samples])
        rows = np.lib.stride_tricks.sliding_window_view(heard, _CONTEXT_SAMPLES + WINDOW_SAMPLES)[::WINDOW_SAMPLES]
        feed = {"input": np.ascontiguousarray(rows), "h": self._h, "c": self._c}
        probabilities, self._h, self._c = self._session.run(None, feed)
        self._context = heard[-_CONTEXT_SAMPLES:].copy()
        return [float(probability) for probability in probabilities.reshape(-1)]
