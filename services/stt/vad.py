"""Voice activity of one track: Silero's network, its state kept per track, its weights shared by all.

Digital silence is not asked about again and again: what the network makes of a run of zeros depends on its length
alone, so it is worked out once for the process. That is the only gate in front of the network, and an exact one;
`docs/decisions/0009-voice-activity.md` says why there is no other.
"""

from dataclasses import dataclass
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
_LONGEST_QUIET_WINDOWS = 500
"""16 s, far beyond the silence after which a track begins afresh; each takes 1 KB, once."""


class VadSession(Protocol):
    """The network: `input` [windows, 576], `h` and `c` [1, 1, 128] -> probabilities, h, c."""

    def run(self, output_names: None, feed: dict[str, NDArray[np.float32]], /) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class _State:
    """The network's memory; its arrays are never written to, so tracks may share them."""

    h: NDArray[np.float32]
    c: NDArray[np.float32]


class VoiceNetwork:
    """The weights, and what they make of digital silence: one for the process, used from one thread."""

    def __init__(self, session: VadSession) -> None:
        self._session = session
        self._quiet = [_State(np.zeros(_STATE_SHAPE, np.float32), np.zeros(_STATE_SHAPE, np.float32))]
        self._quiet_probabilities: list[float] = []

    def hear(self, rows: NDArray[np.float32], state: _State) -> tuple[list[float], _State]:
        """Hear windows, shape (windows, 576), each with the 64 samples before it; returns a probability for each."""
        probabilities, h, c = self._session.run(None, {"input": rows, "h": state.h, "c": state.c})
        return [float(probability) for probability in probabilities.reshape(-1)], _State(h, c)

    def quiet_probabilities(self, start: int, end: int) -> list[float] | None:
        """Return those of the windows `start` to `end` of a run of zeros; None if it is too long to be known."""
        if end > _LONGEST_QUIET_WINDOWS:
            return None
        while len(self._quiet_probabilities) < end:
            zeros = np.zeros((1, _CONTEXT_SAMPLES + WINDOW_SAMPLES), np.float32)
            [probability], state = self.hear(zeros, self._quiet[-1])
            self._quiet_probabilities.append(probability)
            self._quiet.append(state)
        return self._quiet_probabilities[start:end]

    def quiet_state(self, windows: int) -> _State:
        """Return the state after a run of zeros whose probabilities are known."""
        return self._quiet[windows]


class VoiceActivity:
    """Speech probabilities of one track's windows, in order.

    The outcome depends on the samples since the last `restart` alone, not on how many come per call.
    """

    def __init__(self, network: VoiceNetwork) -> None:
        self._network = network
        self.restart()

    def restart(self) -> None:
        """Forget everything heard."""
        self._state = self._network.quiet_state(0)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._quiet_windows: int | None = 0
        """How many windows of zeros were heard; None once there was anything else."""

    def probabilities(self, samples: Waveform) -> list[float]:
        """Hear the next windows.

        Args:
            samples: a whole number of windows, shape (k * 512,).

        Returns:
            k probabilities of speech.
        """
        if self._quiet_windows is not None:
            known = None if samples.any() else self._quiet(len(samples) // WINDOW_SAMPLES)
            if known is not None:
                return known
            self._quiet_windows = None
        heard = np.concatenate([self._context, samples])
        rows = np.lib.stride_tricks.sliding_window_view(heard, _CONTEXT_SAMPLES + WINDOW_SAMPLES)[::WINDOW_SAMPLES]
        probabilities, self._state = self._network.hear(np.ascontiguousarray(rows), self._state)
        self._context = heard[-_CONTEXT_SAMPLES:].copy()
        return probabilities

    def _quiet(self, windows: int) -> list[float] | None:
        assert self._quiet_windows is not None
        total = self._quiet_windows + windows
        known = self._network.quiet_probabilities(self._quiet_windows, total)
        if known is not None:
            self._quiet_windows, self._state = total, self._network.quiet_state(total)
        return known
