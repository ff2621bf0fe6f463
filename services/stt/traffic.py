"""What the room has carried since it started, how many streams it carries now, and whether it takes one more."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.stt import metrics
from services.stt.audio import SAMPLE_RATE_HERTZ
from services.stt.errors import RecognizerBusy
from services.stt.load import Forecast, Listener


class Traffic:
    """Counts of the whole room, and its limits on streams."""

    def __init__(self, max_streams: int, forecast: Forecast) -> None:
        self._max_streams = max_streams
        self._forecast = forecast
        self.streams = 0
        self.samples = 0
        self.finals = 0
        self.interims = 0

    @contextmanager
    def stream(self) -> Iterator[Listener]:
        """Count a live stream for the block.

        Raises:
            RecognizerBusy: as many streams as allowed are open, or one more is more than the workers can carry.
        """
        if not self._forecast.fits_one_more:
            metrics.STREAMS_REFUSED.inc()
            raise RecognizerBusy(load=f"{self._forecast.load:.2f}")
        with self.recording(), self._forecast.track() as listener:
            yield listener

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Count a stream that nobody waits for: it takes what live ones leave.

        Raises:
            RecognizerBusy: as many streams as allowed are open.
        """
        if self.streams >= self._max_streams:
            metrics.STREAMS_REFUSED.inc()
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

    def hinted(self) -> None:
        """Count an interim."""
        self.interims += 1
        metrics.INTERIMS.inc()
