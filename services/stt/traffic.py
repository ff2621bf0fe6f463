"""What the room has carried since it started, and how many streams it carries now."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.stt import metrics
from services.stt.audio import SAMPLE_RATE_HERTZ
from services.stt.errors import RecognizerBusy


class Traffic:
    """Counts of the whole room, and its limit on streams."""

    def __init__(self, max_streams: int) -> None:
        self._max_streams = max_streams
        self.streams = 0
        self.samples = 0
        self.finals = 0

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream for the block.

        Raises:
            RecognizerBusy: as many streams as allowed are open.
        """
        if self.streams >= self._max_streams:
            raise RecognizerBusy(limit=self._max_streams)
        self.streams += 1
        metrics.STREAMS.inc()
        try:
            yield
        finally:
            self.streams -= 1
            metrics.STREAMS.dec()

    def heard(self, samples: int) -> None:
        """Count received samples."""
        self.samples += samples
        metrics.AUDIO_SECONDS.inc(samples / SAMPLE_RATE_HERTZ)

    def said(self, engine: str) -> None:
        """Count a final."""
        self.finals += 1
        metrics.FINALS.labels(engine).inc()
