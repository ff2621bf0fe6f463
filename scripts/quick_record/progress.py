"""Progress on the terminal: one line that changes; where there is none, a line now and then."""

import sys
import time

import numpy as np

_TERMINAL_SECONDS = 0.2
_LOG_SECONDS = 10.0
_BARS = 20
_QUIETEST_DB = -60.0


class Progress:
    """Shows how a recording goes; to standard error, because standard output is for results."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown_at = 0.0
        self._level_db = _QUIETEST_DB

    def hear(self, pcm: bytes) -> None:
        """Take sound for the meter, which falls slowly as they do."""
        samples = np.frombuffer(pcm, "<i2").astype(np.float64)
        peak = float(np.abs(samples).max(initial=0.0)) / 32_768
        level = max(_QUIETEST_DB, 20 * float(np.log10(peak))) if peak else _QUIETEST_DB
        self._level_db = max(level, self._level_db - 3.0)

    def show(self, seconds: float, segments: int, *, last: bool = False) -> None:
        """Show the time, the level and the complete segments, if it is time to."""
        pause = _TERMINAL_SECONDS if self._terminal else _LOG_SECONDS
        if not last and time.monotonic() - self._shown_at < pause:
            return
        self._shown_at = time.monotonic()
        minutes, rest = divmod(int(seconds), 60)
        elapsed = f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"
        filled = round((1 - self._level_db / _QUIETEST_DB) * _BARS)
        meter = f"[{'#' * filled}{'.' * (_BARS - filled)}] {self._level_db:4.0f} dB"
        line = f"REC {elapsed}  {meter}  segments {segments}  Ctrl-C stops"
        print(f"\r{line}\x1b[K" if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._terminal:
            print(file=sys.stderr)


def tell(sentence: str) -> None:
    """Say what happens."""
    print(sentence, file=sys.stderr, flush=True)
