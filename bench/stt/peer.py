"""The peers' way: one model behind a lock; every client has a buffer, and the whole of it is read again and again.

Modelled on how the most used open live server does it: silence is filtered out before each reading; of what is read all
segments but the last are done, and the last one is when it came out the same often enough; the buffer begins after what
is done. Text counts as delivered the first time that it is shown, done or not, which is kinder to it than it is to
itself: what ours delivers is final. Its clients cost nothing: no sockets, no copies.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, sleep

from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment

from bench.stt.calls import Call
from bench.stt.delay import Delivered, Trial
from services.stt.audio import SAMPLE_RATE_HERTZ, to_waveform

_READ_AFTER_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
_NO_SPEECH = 0.45
_DRAIN_SECONDS = 6.0
_NAP_SECONDS = 0.05
_PROBES = 5


@dataclass(frozen=True, slots=True)
class Manner:
    """How a server reads."""

    new_seconds: float
    """New sound after which it reads again."""
    same_outputs: int
    """Times that the last segment comes out the same before it is done."""


EVERY_SECOND = Manner(new_seconds=_READ_AFTER_SECONDS, same_outputs=10)
"""The plain way, with a pause between readings that the original does not make."""
AT_ONCE = Manner(new_seconds=0.0, same_outputs=10)
"""As the original does it: whoever has a second of sound reads, and reads again."""
TUNED = Manner(new_seconds=_READ_AFTER_SECONDS, same_outputs=2)
"""The plain way with a buffer that is let go of as soon as a text comes out twice; nobody runs it so."""


class LockedModel:
    """One model, one reader at a time, with all the threads of the machine."""

    def __init__(self, model: WhisperModel) -> None:
        self._model = model
        self._lock = threading.Lock()

    def read(self, call: Call, start: int, end: int) -> list[Segment]:
        """Return what is said between two samples; nothing when there is no speech."""
        with self._lock:
            segments, _ = self._model.transcribe(
                to_waveform(call.pcm[start:end]), language=call.language, vad_filter=True,
                vad_parameters={"threshold": 0.5},
            )  # fmt: skip
            return list(segments)


class Client:
    """One call's thread: reads its buffer until the call is over."""

    def __init__(self, model: LockedModel, call: Call, started: float, manner: Manner, over: threading.Event) -> None:
        self._model = model
        self._call = call
        self._manner = manner
        self._over = over
        self._offset = 0
        self._last = ""
        self._same = 0
        self.delivered = Delivered(started)

    def run(self) -> None:
        """Read until all was shown, or the run is over."""
        length, read_up_to = len(self._call.pcm), 0
        while not self._over.is_set() and read_up_to < length:
            now = round((perf_counter() - self.delivered.started) * SAMPLE_RATE_HERTZ)
            end = min(now, length)
            self._offset = max(self._offset, end - round(_LONGEST_SECONDS * SAMPLE_RATE_HERTZ))
            enough = end - self._offset >= _READ_AFTER_SECONDS * SAMPLE_RATE_HERTZ
            fresh = end - read_up_to >= self._manner.new_seconds * SAMPLE_RATE_HERTZ
            if not (enough and fresh) and end < length:
                sleep(_NAP_SECONDS)
                continue
            self._take(self._model.read(self._call, self._offset, end), end)
            read_up_to = end

    def _take(self, segments: list[Segment], end: int) -> None:
        if not segments:
            self._offset = end
        else:
            if len(segments) > 1 and segments[-1].no_speech_prob <= _NO_SPEECH:
                self._offset += round(segments[-2].end * SAMPLE_RATE_HERTZ)
                self._same = 0
            last = segments[-1].text.strip()
            self._same = self._same + 1 if last == self._last else 0
            self._last = last
            if self._same >= self._manner.same_outputs:
                self._offset = end
        self.delivered.marks.append((perf_counter(), end))


def hold(model: LockedModel, calls: Sequence[Call], manner: Manner) -> Trial:
    """Hold the calls; returns how late text was shown for the first time."""
    over = threading.Event()
    started = perf_counter() + 0.2
    clients = [
        Client(model, call, started + number * 0.1 / len(calls), manner, over) for number, call in enumerate(calls)
    ]
    threads = [threading.Thread(target=client.run, name="bench.peer") for client in clients]
    for thread in threads:
        thread.start()
    deadline = started + max(len(call.pcm) for call in calls) / SAMPLE_RATE_HERTZ + _DRAIN_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - perf_counter()))
    over.set()
    for thread in threads:
        thread.join()
    pairs = zip(clients, calls, strict=True)
    return Trial(len(calls), [delay for client, call in pairs for delay in client.delivered.delays(call.speech_ends)])


def seconds_of_a_reading(model: LockedModel, call: Call) -> float:
    """Return what one reading of five seconds takes while nothing else is read."""
    started = perf_counter()
    for _ in range(_PROBES):
        model.read(call, 0, 5 * SAMPLE_RATE_HERTZ)
    return (perf_counter() - started) / _PROBES
