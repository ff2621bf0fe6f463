"""A sender's RTP clock, and how it maps onto the session's timeline."""

from services.connector.spans import samples_of

_RTP_PER_SAMPLE = 3  # Opus over RTP always counts at 48 kHz
_RESUMED = samples_of(0.6)
_FROZEN = samples_of(0.3)
_BEHIND = samples_of(0.15)
_WILD = samples_of(2.0)
_WINDOW = samples_of(2.0)
_DOUBT = samples_of(0.1)
_WORTH_MENDING = samples_of(0.04)
_LEAD_LONGEST = samples_of(0.5)


class RtpClock:
    """Maps one sender's RTP timestamps to samples of the session, watched by the time of arrival.

    RTP time is exact while a sender runs, but a browser freezes it while it has nothing to send, clocks drift, and the
    first packet may have been late. So each arrival is compared with the place that its timestamp says:

    * after a pause, or for two seconds at best more than 150 ms, behind: time has passed unseen, the clock moves on.
      After a pause that is decided 100 ms later, because what was merely held up catches up at once;
    * less behind (`lag`), or ahead (`lead`): mended at the next silence, where nobody can hear it;
    * half a second ahead and no silence for two (`overdue`): a frame has to go.

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
        self._window_lead = 0
        self._doubt = 0
        self._doubt_end: int | None = None
        self.lead = max(0, sample - arrival)
        """Samples by which this sender's audio is placed later than it arrives at best."""
        self.lag = 0
        """Samples by which it is placed earlier than it arrives at best, at most 150 ms."""
        self.overdue = False
        """Whether no silence came in which the lead could be given back; reset by `shift`."""

    @property
    def astray(self) -> bool:
        """Whether there is something to mend at the next silence."""
        return self.lead >= _WORTH_MENDING or self.lag >= _WORTH_MENDING

    def sample(self, timestamp: int) -> int:
        """Return the place of a timestamp."""
        return self._base + (self._unwrap(timestamp) - self._origin) // _RTP_PER_SAMPLE

    def jumped(self, timestamp: int, arrival: int) -> bool:
        """Return whether a packet that is not late has a timestamp that no pause and no network explains."""
        unwrapped = self._unwrap(timestamp)
        if unwrapped < self._unwrapped - _WILD * _RTP_PER_SAMPLE:
            return True
        place = self._base + (unwrapped - self._origin) // _RTP_PER_SAMPLE
        return place - arrival > self.lead + _WILD

    def observe(self, timestamp: int, arrival: int) -> None:
        """Compare an arriving packet with its place and correct the clock."""
        unwrapped = self._unwrap(timestamp)
        if unwrapped > self._unwrapped:
            self._unwrapped, self._last_timestamp = unwrapped, timestamp
        behind = arrival - self._base - (unwrapped - self._origin) // _RTP_PER_SAMPLE
        paused = arrival - self._last_arrival > _RESUMED
        self._last_arrival = arrival
        if self._doubt_end is not None:
            self._doubt = min(self._doubt, behind)
        elif paused and behind > _FROZEN:
            self._doubt, self._doubt_end = behind, arrival + _DOUBT
        if behind < self._window_best:
            self._window_best = behind
            self.lead = max(self.lead, -behind)
        if arrival >= self._window_end:
            self._judge_window(behind, arrival)

    def settled(self, arrival: int | None) -> bool:
        """Return whether places can be relied on at this moment; None decides what is in doubt at once."""
        if self._doubt_end is None:
            return True
        if arrival is not None and arrival < self._doubt_end:
            return False
        self._doubt_end = None
        if self._doubt > _FROZEN:
            self.shift(self._doubt)
            self.lead, self._window_best, self._window_end = 0, 0, self._last_arrival + _WINDOW
        return True

    def shift(self, samples: int) -> None:
        """Place everything from now on `samples` later."""
        self._base += samples
        self._window_best -= samples
        self.lead = max(0, self.lead + samples)
        self.lag = max(0, self.lag - samples)
        self.overdue = False

    def mend(self, silence: int) -> None:
        """Move the clock at a silence of `silence` samples: give back as much of `lead` as fits, or catch up `lag`."""
        if self.lead >= _WORTH_MENDING:
            self.shift(-min(self.lead, silence))
        elif self.lag >= _WORTH_MENDING:
            self.shift(self.lag)

    def _judge_window(self, behind: int, arrival: int) -> None:
        best = self._window_best
        if best > _BEHIND:
            self.shift(best)
            behind -= best
            best = 0
        self.lag = max(0, best)
        self.lead = max(0, -best)
        self.overdue = self.lead > _LEAD_LONGEST and self.lead >= self._window_lead > 0
        self._window_lead = self.lead
        self._window_best, self._window_end = behind, arrival + _WINDOW

    def _unwrap(self, timestamp: int) -> int:
        ahead = (timestamp - self._last_timestamp) & 0xFFFFFFFF
        return self._unwrapped + (ahead - (1 << 32) if ahead & 0x80000000 else ahead)
