"""The recogniser of one track: samples in, events out.

    feed ─▶ endpointer ─▶ utterances (bounded) ─▶ finals, one after another ─▶ sink (bounded)
                     └──▶ the newest beginning of the open utterance ─▶ interims ─▶ sink

Finals of a track are given in order. They are decoded one after another until the language is sure, because the
language of one decides that of the next; after that a track that is behind, as every recording is, has several decoded
at a time. Whoever does not empty the sink slows the feed; nothing is dropped but interims.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kit.clock import monotonic
from services.stt import metrics
from services.stt.agreement import LocalAgreement
from services.stt.audio import SAMPLE_RATE_HERTZ, Pcm, samples_of
from services.stt.distance import is_far
from services.stt.endpointing import Endpointer, EndpointingRules, SilenceSettled, SpeechBegan, Utterance
from services.stt.endpointing import Event as EndpointingEvent
from services.stt.engines.engine import Hypothesis, Mode, Window
from services.stt.pool import DecodePool
from services.stt.vad import VoiceNetwork
from services.stt.word_times import held_to_speech

SURE_LANGUAGE_PROBABILITY = 0.7
"""A detected language above it is kept for the rest of the track."""
SURE_LANGUAGE_SAMPLES = samples_of(0.8)
"""Of an utterance with its pre-roll; in less a language is guessed: "da" and "no" are words of many."""
_BACKLOG = 4
"""Utterances that may wait for their decode before the feed has to."""
_FINAL_DUE_SECONDS = 2.0
"""For the final that is next on its track; each one after it has as much time again."""
_RECORDING_DUE_SECONDS = 30.0
"""For finals that nobody waits for: live calls go first."""
_PIECE_SAMPLES = SAMPLE_RATE_HERTZ
"""Longer feeds are heard a second at a time, with other streams in between."""

_stream_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class RecogniserOptions:
    """What one track asks for."""

    rules: EndpointingRules
    language: str | None = None
    """ISO 639-1 code; None to detect it and keep the first sure one."""
    hot_words: tuple[str, ...] = ()
    start_sample: int = 0
    interim_interval_samples: int | None = None
    """Speech between two interims; None for no interims."""
    live: bool = True
    """Somebody waits for each final; a recording leaves the way to those."""
    tenant_id: str = ""
    """Who pays."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody began to speak."""

    start_sample: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The utterance is over; its final follows, unless it held too little speech."""

    end_sample: int


@dataclass(frozen=True, slots=True)
class InterimText:
    """The open utterance so far; replaces the last one with the same start."""

    start_sample: int
    end_sample: int
    stable: str
    unstable: str
    language: str


@dataclass(frozen=True, slots=True)
class FinalText:
    """The text of one utterance."""

    start_sample: int
    end_sample: int
    decided_sample: int
    hypothesis: Hypothesis
    pinned_language: str = ""
    """Language kept for the rest of the track, this final included; empty while none was sure."""
    cost_usd: float = 0.0
    """Of everything decoded for the track since the last final."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Everything before the sample is decided, without a final to say so."""

    decided_sample: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Everything fed is decided, and every final has been given."""

    decided_sample: int
    finals: int
    cost_usd: float = 0.0
    """Of everything decoded since the last final."""


Event = SpeechStarted | SpeechEnded | InterimText | FinalText | Decided | Finished


class EventSink(Protocol):
    """Where events go: a queue with a size."""

    async def put(self, item: Event, /) -> None: ...

    def put_nowait(self, item: Event, /) -> None: ...

    def full(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Turn:
    """Something settled, at its place in the order of the track."""

    settled: Utterance | SilenceSettled
    settled_at: float
    hypothesis: "asyncio.Task[Hypothesis] | None"
    """Under way for an utterance."""


@dataclass(frozen=True, slots=True)
class _Beginning:
    """The open utterance as far as it has come."""

    start_sample: int
    end_sample: int
    window: Window


class Recogniser:
    """One track's recogniser; made by `open_recogniser`. `feed` to `end` are called by one task."""

    def __init__(self, pool: DecodePool, vad: VoiceNetwork, options: RecogniserOptions, sink: EventSink) -> None:
        self._pool = pool
        self._sink = sink
        self._options = options
        self._endpointer = Endpointer(vad, options.rules, options.start_sample)
        self._language = options.language
        self._stream = f"stream-{next(_stream_numbers)}"
        self._settled: asyncio.Queue[Utterance | SilenceSettled | None] = asyncio.Queue(_BACKLOG)
        self._beginning: _Beginning | None = None
        self._beginning_changed = asyncio.Event()
        self._next_interim_sample = 0
        self._finals = 0
        self._cost_usd = 0.0
        self._turns_open = 0

    @property
    def received_sample(self) -> int:
        """Sample after the last fed."""
        return self._endpointer.received_sample

    async def feed(self, pcm: Pcm) -> None:
        """Hear the samples that follow on from the last; waits while too many utterances wait for their decode."""
        for offset in range(0, len(pcm), _PIECE_SAMPLES):
            await self._take(self._endpointer.feed(pcm[offset : offset + _PIECE_SAMPLES]))
            await self._ask_for_interim()
            if offset:
                await asyncio.sleep(0)

    async def feed_silence(self, samples: int) -> None:
        """Hear digital silence; the same as feeding that many zeros."""
        piece = np.zeros(min(samples, _PIECE_SAMPLES), np.int16)
        while samples > 0:
            await self.feed(piece[:samples])
            samples -= len(piece)
            await asyncio.sleep(0)

    async def flush(self) -> None:
        """Settle the open utterance now."""
        await self._take(self._endpointer.flush())

    async def end(self) -> None:
        """Settle everything; `Finished` is the last event. Nothing may be fed after it."""
        await self.flush()
        await self._settled.put(None)

    async def _take(self, events: list[EndpointingEvent]) -> None:
        for event in events:
            if isinstance(event, SpeechBegan):
                self._next_interim_sample = event.start_sample
                await self._sink.put(SpeechStarted(event.start_sample))
                continue
            if isinstance(event, Utterance):
                self._beginning = None
                await self._sink.put(SpeechEnded(event.end_sample))
            await self._settled.put(event)

    async def _ask_for_interim(self) -> None:
        interval = self._options.interim_interval_samples
        speech = self._endpointer.open_speech
        if interval is None or speech is None or not speech.is_speech:
            return
        due = self._next_interim_sample + round(interval * self._pool.stretch)
        if speech.received_sample < due:
            return
        self._next_interim_sample = speech.received_sample
        window = Window(self._endpointer.open_waveform(), self._language, Mode.INTERIM, self._options.hot_words)
        self._beginning = _Beginning(speech.start_sample, speech.received_sample, window)
        self._beginning_changed.set()

    async def decode_finals(self) -> None:
        """Decode utterances until `end`, and give their finals in order."""
        turns: asyncio.Queue[_Turn] = asyncio.Queue(self._pool.workers)
        async with asyncio.TaskGroup() as tasks:
            giving = tasks.create_task(self._give(turns), name="stt.give")
            while (settled := await self._settled.get()) is not None:
                decode = None
                if isinstance(settled, Utterance) and settled.is_speech:
                    if self._language is None:
                        await turns.join()
                    decode = tasks.create_task(self._decode_final(settled, self._turns_open), name="stt.final")
                self._turns_open += 1
                await turns.put(_Turn(settled, monotonic(), decode))
            await turns.join()
            giving.cancel()
        await self._sink.put(Finished(self._endpointer.received_sample, self._finals, self._cost_usd))

    async def _decode_final(self, utterance: Utterance, turns_before: int) -> Hypothesis:
        far = is_far(utterance.spoken)
        window = Window(utterance.waveform, self._language, Mode.FINAL, self._options.hot_words, far=far)
        seconds = _FINAL_DUE_SECONDS * (1 + turns_before) if self._options.live else _RECORDING_DUE_SECONDS
        due, live = monotonic() + seconds, self._options.live
        return await self._pool.decode_final(window, due=due, tenant=self._options.tenant_id, live=live)

    async def _give(self, turns: "asyncio.Queue[_Turn]") -> None:
        """Give what was settled, in order, as its decodes come in, until cancelled."""
        while True:
            turn = await turns.get()
            if turn.hypothesis is None:
                await self._sink.put(Decided(turn.settled.boundary_sample))
            else:
                assert isinstance(turn.settled, Utterance)
                await self._give_final(turn.settled, await turn.hypothesis, turn.settled_at)
            self._turns_open -= 1
            turns.task_done()

    async def _give_final(self, utterance: Utterance, hypothesis: Hypothesis, settled_at: float) -> None:
        boundary = utterance.boundary_sample
        self._cost_usd += hypothesis.cost_usd
        if not hypothesis.text:
            await self._sink.put(Decided(boundary))
            return
        if self._language is None and _is_sure_of_language(utterance, hypothesis):
            self._language = hypothesis.language
        self._finals += 1
        metrics.FINAL_SECONDS.observe(monotonic() - settled_at)
        cost, self._cost_usd = self._cost_usd, 0.0
        heard = held_to_speech(hypothesis, utterance)
        final = FinalText(utterance.start_sample, utterance.end_sample, boundary, heard, self._language or "", cost)
        await self._sink.put(final)

    async def decode_interims(self) -> None:
        """Decode the newest beginning of the open utterance, one at a time, until cancelled."""
        agreement, start = LocalAgreement(), -1
        while True:
            await self._beginning_changed.wait()
            self._beginning_changed.clear()
            beginning = self._beginning
            if beginning is None:
                continue
            hypothesis = await self._pool.decode_interim(self._stream, beginning.window, tenant=self._options.tenant_id)
            self._cost_usd += hypothesis.cost_usd if hypothesis is not None else 0.0
            if beginning.start_sample != start:
                agreement, start = LocalAgreement(), beginning.start_sample
            # Nobody waits for an interim: not after the utterance's end, and not when the sink is full.
            if hypothesis is None or self._beginning is None or self._beginning.start_sample != start:
                continue
            agreed = agreement.update(hypothesis.text)
            if hypothesis.text and not self._sink.full():
                self._sink.put_nowait(
                    InterimText(start, beginning.end_sample, agreed.stable, agreed.unstable, hypothesis.language)
                )


def _is_sure_of_language(utterance: Utterance, hypothesis: Hypothesis) -> bool:
    long_enough = utterance.end_sample - utterance.start_sample >= SURE_LANGUAGE_SAMPLES
    return long_enough and hypothesis.language_probability > SURE_LANGUAGE_PROBABILITY


@asynccontextmanager
async def open_recogniser(
    pool: DecodePool, vad: VoiceNetwork, options: RecogniserOptions, sink: EventSink
) -> AsyncIterator[Recogniser]:
    """Run a recogniser for the block; a decode that fails ends the block."""
    recogniser = Recogniser(pool, vad, options, sink)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(recogniser.decode_finals(), name="stt.finals")]
        if options.interim_interval_samples is not None:
            running.append(tasks.create_task(recogniser.decode_interims(), name="stt.interims"))
        yield recogniser
        for task in running:
            task.cancel()
