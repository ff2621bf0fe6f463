"""Endpointing: where an utterance begins and ends, decided by the samples alone.

The track is cut at boundaries. Everything before a boundary is decided, and hearing starts afresh at it: the network's
state, the grid of windows and the pre-roll all begin there. So a replay from any boundary cuts exactly where the first
run cut, whatever the size and the speed of the pieces.
"""

from dataclasses import dataclass

import numpy as np

from services.stt.audio import Pcm, Waveform, samples_of, to_waveform
from services.stt.vad import WINDOW_SAMPLES, WINDOWS_PER_CALL, VoiceActivity, VoiceNetwork

_CALL_SAMPLES = WINDOW_SAMPLES * WINDOWS_PER_CALL


@dataclass(frozen=True, slots=True)
class EndpointingRules:
    """When speech starts and ends; all lengths in samples at 16 kHz."""

    start_probability: float = 0.5
    """A window above it starts an utterance."""
    keep_probability: float = 0.35
    """A window above it keeps the utterance open."""
    pre_roll_samples: int = samples_of(0.25)
    """Heard before the first window of speech, and part of the utterance."""
    end_silence_samples: int = samples_of(0.55)
    """Silence that ends an utterance."""
    post_roll_samples: int = samples_of(0.3)
    """Silence after the last window of speech that the engine still hears; at most `end_silence_samples`."""
    shortest_speech_samples: int = samples_of(0.3)
    """Less speech than this is a click or a breath: decided, and not decoded."""
    sure_probability: float = 0.75
    """Mean of the windows that kept the utterance open; below it they were music or hum: decided, and not decoded."""
    longest_utterance_samples: int = samples_of(25.0)
    """Longer ones are cut at their quietest late window; the engines hear 30 s at most."""
    settle_silence_samples: int = samples_of(5.0)
    """Silence after which its beginning is decided, so that a quiet track has no long replay."""


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """An utterance opened."""

    start_sample: int
    """Pre-roll included."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """An utterance closed: what is to be decoded."""

    start_sample: int
    speech_start_sample: int
    """Of the first window of speech, after the pre-roll."""
    end_sample: int
    """After the last window of speech."""
    boundary_sample: int
    """Everything before it is decided once this utterance is."""
    waveform: Waveform
    """From `start_sample` to `boundary_sample`."""
    is_speech: bool
    """False for less speech, or less like speech, than the rules ask for."""

    @property
    def spoken(self) -> Waveform:
        """From the first window of speech to after the last."""
        return self.waveform[self.speech_start_sample - self.start_sample : self.end_sample - self.start_sample]


@dataclass(frozen=True, slots=True)
class SilenceSettled:
    """Nothing was said before this boundary and after the last."""

    boundary_sample: int


Event = SpeechBegan | Utterance | SilenceSettled


@dataclass(frozen=True, slots=True)
class OpenSpeech:
    """The utterance that is being spoken."""

    start_sample: int
    received_sample: int
    """After the last sample received."""
    is_speech: bool
    """Whether it would be decoded if it ended now."""


class Endpointer:
    """Cuts one track into utterances; memory is bounded by the longest utterance."""

    def __init__(self, network: VoiceNetwork, rules: EndpointingRules, start_sample: int = 0) -> None:
        self._activity = VoiceActivity(network)
        self._rules = rules
        # An utterance may begin just before the silence in front of it would have been settled.
        longest = rules.settle_silence_samples + rules.longest_utterance_samples
        self._samples = np.zeros(longest + 2 * _CALL_SAMPLES, np.int16)
        self._origin = start_sample
        self._filled = 0
        self._begin()

    @property
    def received_sample(self) -> int:
        """Sample after the last received."""
        return self._origin + self._filled

    @property
    def open_speech(self) -> OpenSpeech | None:
        """The utterance that is being spoken, if any."""
        if self._start is None:
            return None
        return OpenSpeech(self._origin + self._start, self.received_sample, self._is_speech(self._speech_end))

    def open_waveform(self) -> Waveform:
        """Return a copy of the open utterance's samples; empty when nobody speaks."""
        return to_waveform(self._samples[self._filled if self._start is None else self._start : self._filled])

    def feed(self, pcm: Pcm) -> list[Event]:
        """Hear the samples that follow on from the last; returns what happened, in order."""
        events: list[Event] = []
        while len(pcm):
            taken = min(len(pcm), _CALL_SAMPLES - (self._filled - self._scanned))
            self._samples[self._filled : self._filled + taken] = pcm[:taken]
            self._filled += taken
            pcm = pcm[taken:]
            while self._filled - self._scanned >= _CALL_SAMPLES:
                self._hear(_CALL_SAMPLES, events)
        return events

    def flush(self) -> list[Event]:
        """Decide everything received: an open utterance is closed, silence is settled."""
        events: list[Event] = []
        while rest := (self._filled - self._scanned) // WINDOW_SAMPLES * WINDOW_SAMPLES:
            self._hear(min(rest, _CALL_SAMPLES), events)
        if self._start is not None:
            # The last piece of a window was never heard; it is speech's as much as not.
            end = self._filled if self._speech_end == self._scanned else self._speech_end
            events.append(self._close(end, self._filled))
        elif self._filled:
            events.append(self._settle(self._filled))
        return events

    def _begin(self) -> None:
        """Forget all but the samples from the origin on; offsets below count from it."""
        self._activity.restart()
        self._scanned = 0
        self._start: int | None = None
        self._speech_start = 0
        self._speech_end = 0
        self._probabilities: list[float] = []

    def _hear(self, length: int, events: list[Event]) -> None:
        heard = to_waveform(self._samples[self._scanned : self._scanned + length])
        for probability in self._activity.probabilities(heard):
            self._scanned += WINDOW_SAMPLES
            self._probabilities.append(probability)
            event = self._silent(probability) if self._start is None else self._speaking(probability)
            if event is not None:
                events.append(event)
            if isinstance(event, Utterance | SilenceSettled):
                # The windows after the boundary are heard again, afresh.
                return

    def _silent(self, probability: float) -> Event | None:
        rules = self._rules
        if probability > rules.start_probability:
            self._speech_start = self._scanned - WINDOW_SAMPLES
            self._speech_end = self._scanned
            self._start = max(0, self._speech_start - rules.pre_roll_samples)
            return SpeechBegan(self._origin + self._start)
        if self._scanned >= rules.settle_silence_samples:
            # Twice the pre-roll stays: a boundary must not cut off the start of the next word.
            return self._settle(self._scanned - 2 * rules.pre_roll_samples)
        return None

    def _speaking(self, probability: float) -> Event | None:
        assert self._start is not None
        rules = self._rules
        if probability > rules.keep_probability:
            self._speech_end = self._scanned
        elif self._scanned - self._speech_end >= rules.end_silence_samples:
            return self._close(self._speech_end, self._speech_end + rules.post_roll_samples)
        if self._scanned - self._start >= rules.longest_utterance_samples:
            cut = self._quietest_late_window()
            return self._close(min(cut, self._speech_end), cut)
        return None

    def _quietest_late_window(self) -> int:
        """Return the end of the least speech-like window of the last quarter, the latest of equals."""
        count = self._rules.longest_utterance_samples // 4 // WINDOW_SAMPLES
        late = self._probabilities[-count:]
        back = min(range(len(late)), key=lambda index: (late[index], -index))
        return self._scanned - (len(late) - 1 - back) * WINDOW_SAMPLES

    def _close(self, end: int, boundary: int) -> Utterance:
        assert self._start is not None
        utterance = Utterance(
            start_sample=self._origin + self._start,
            speech_start_sample=self._origin + self._speech_start,
            end_sample=self._origin + end,
            boundary_sample=self._origin + boundary,
            waveform=to_waveform(self._samples[self._start : boundary]),
            is_speech=self._is_speech(end),
        )
        self._restart(boundary)
        return utterance

    def _is_speech(self, end: int) -> bool:
        """Tell speech up to `end` from a click, and from music, which the network now and then is half sure of."""
        spoken = self._probabilities[self._speech_start // WINDOW_SAMPLES : -(-end // WINDOW_SAMPLES)]
        # Pauses inside the utterance say nothing about what was heard between them.
        kept = [probability for probability in spoken if probability > self._rules.keep_probability]
        long_enough = WINDOW_SAMPLES * len(kept) >= self._rules.shortest_speech_samples
        return long_enough and sum(kept) >= self._rules.sure_probability * len(kept)

    def _settle(self, boundary: int) -> SilenceSettled:
        settled = SilenceSettled(self._origin + boundary)
        self._restart(boundary)
        return settled

    def _restart(self, boundary: int) -> None:
        rest = self._filled - boundary
        self._samples[:rest] = self._samples[boundary : self._filled].copy()
        self._origin += boundary
        self._filled = rest
        self._begin()
