"""A speech engine that a test holds by the hand: it decodes when told, and remembers what it was asked."""

import threading
from collections.abc import Sequence

from services.stt.engines.engine import Capabilities, HeardWord, Hypothesis, Mode, Window


class HeldEngine:
    """Decodes only while `go` is set; `asked` lists the windows in the order in which workers took them."""

    def __init__(
        self, *, workers: int = 1, batch: int = 1, held: bool = False, language: str = "en", sureness: float = 1.0
    ) -> None:
        self.asked: list[Window] = []
        self.batches: list[int] = []
        """Windows of each decode."""
        self.refused = -1
        """Number of samples of a window that it cannot decode."""
        self.go = threading.Event()
        if not held:
            self.go.set()
        self.failing = False
        self.language = language
        self.sureness = sureness
        self._workers = workers
        self._batch = batch

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            "held", "none", None, word_times=True, punctuated=True, workers=self._workers, batch=self._batch
        )

    def warm_up(self) -> None:
        return

    def decode(self, windows: Sequence[Window]) -> list[Hypothesis]:
        self.asked.extend(windows)
        self.batches.append(len(windows))
        assert self.go.wait(10.0), "the test never let the engine go"
        if self.failing or self.refused in [len(window.waveform) for window in windows]:
            raise RuntimeError("cannot decode this")
        return [self._heard(window) for window in windows]

    def _heard(self, window: Window) -> Hypothesis:
        text = f"{len(window.waveform)} samples"
        words = () if window.mode is Mode.INTERIM else (HeardWord(text, 0.0, 0.1, 0.5),)
        given = window.language is not None
        return Hypothesis(
            text=text,
            words=words,
            avg_logprob=-0.1,
            no_speech_prob=0.0,
            language=window.language or self.language,
            language_probability=1.0 if given else self.sureness,
            engine="held",
            model="none",
        )
