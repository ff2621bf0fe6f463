"""A sender's RTP clock, and how it maps onto the session's timeline."""

from services.connector.spans import samples_of

_RTP_PER_SAMPLE = 3  # Opus over RTP always counts at 48 kHz
_RESUMED = samples_of(0.6)
_FROZEN = samples_of(0.3)
_BEHIND = samples_of(0.15)
_WILD = samples_of(2.0)
_WINDOW = samples_of(2.0)
_DOUBT = samples_of(0.1)
_WORTH_RECLAIMING = samples_of(0.04)


class RtpClock:
    """Maps one sender's RTP timestamps to samples of the session, watched by the time of arrival.

    RTP time is exact while a sender runs, but a browser freezes it while it has nothing to send, clocks drift, and the
    first packet may have been late. So each arrival is compared with the place that its timestamp says:

    * after a pause, or for two seconds at best, behind: time has passed unseen, the clock moves on. After a pause that
      is decided 100 ms later, because what was merely held up catches up at once;
    * two seconds ahead: the timestamp jumped, the clock moves back;
    * a little ahead: the surplus (`lead`) is given back at the next silence, where nobody can hear it.

    Args:
        timestamp: RTP timestamp of the first packet.
        sample: where its audio belongs.
        arrival: sample of the session's clock when it arrived.
    """

    def __init__(self, timestamp: int, sample: int, arrival: int) -> None:
        self._last_timestamp = timestamp
        self._unwrapped = timestamp
        self._origin = timestamp
        self._base = sample
        self._last_arrival = arrival
        self._window_end = arrival + _WINDOW
        self._window_best = arrival - sample
        self._doubt = 0
        self._doubt_end: int | None = None
        self.lead = max(0, sample - arrival)
        """Samples by which this sender's audio is placed later than it arrives at best."""

    def sample(self, timestamp: int) -> int:
        """Return the place of a timestamp."""
        return self._base + (self._unwrap(timestamp) - self._origin) // _RTP_PER_SAMPLE

    def observe(self, timestamp: int, arrival: int) -> None:
        """Compare an arriving packet with its place and correct the clock."""
        unwrapped = self._unwrap(timestamp)
        if unwrapped > self._unwrapped:
            self._unwrapped, self._last_timestamp = unwrapped, timestamp
        behind = arrival - self.sample(timestamp)
        paused = arrival - self._last_arrival > _RESUMED
        self._last_arrival = arrival
        if behind < -_WILD:
            self._correct(behind, arrival)
            return
        if self._doubt_end is not None:
            self._doubt = min(self._doubt, behind)
        elif paused and behind > _FROZEN:
            self._doubt, self._doubt_end = behind, arrival + _DOUBT
        self._window_best = min(self._window_best, behind)
        self.lead = max(self.lead, -self._window_best)
        if arrival >= self._window_end:
            if self._window_best > _BEHIND:
                self.shift(self._window_best)
                self._window_best = 0
            self.lead = max(0, -self._window_best)
            self._window_best, self._window_end = behind, arrival + _WINDOW

    def settled(self, arrival: int | None) -> bool:
        """Return whether places can be relied on at this moment; None decides what is in doubt at once."""
        if self._doubt_end is None:
            return True
        if arrival is not None and arrival < self._doubt_end:
            return False
        self._doubt_end = None
        if self._doubt > _FROZEN:
            self._correct(self._doubt, self._last_arrival)
        return True

    def shift(self, samples: int) -> None:
        """Place everything from now on `samples` later."""
        self._base += samples
        self._window_best -= samples
        self.lead = max(0, self.lead + samples)

    def reclaim(self, silence: int) -> None:
        """Give back as much of `lead` as fits into a silence of `silence` samples."""
        if self.lead >= _WORTH_RECLAIMING:
            self.shift(-min(self.lead, silence))

    def _correct(self, samples: int, arrival: int) -> None:
        self.shift(samples)
        self.lead, self._window_best, self._window_end = 0, 0, arrival + _WINDOW

    def _unwrap(self, timestamp: int) -> int:
        ahead = (timestamp - self._last_timestamp) & 0xFFFFFFFF
        return self._unwrapped + (ahead - (1 << 32) if ahead & 0x80000000 else ahead)
