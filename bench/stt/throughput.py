"""Throughput: the same utterances, as fast as it goes, through the pool and through bare faster-whisper."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from faster_whisper import BatchedInferencePipeline, WhisperModel

from bench.stt.calls import Call
from bench.stt.ours import SETTINGS, Loaded
from kit.clock import monotonic
from services.stt.audio import SAMPLE_RATE_HERTZ, to_waveform
from services.stt.endpointing import Endpointer, Utterance
from services.stt.engines.engine import Mode, Window
from services.stt.engines.silero import load_vad_session
from services.stt.models import tiny_whisper_directory
from services.stt.pool import open_pool

_BATCH = 8
_BEAM = SETTINGS.beam_size


@dataclass(frozen=True, slots=True)
class Cut:
    """One utterance as our endpointing cuts it."""

    language: str
    start_seconds: float
    end_seconds: float
    window: Window


@dataclass(frozen=True, slots=True)
class Work:
    """The whole of the sound, and its utterances."""

    tracks: Sequence[Call]
    cuts: Sequence[Sequence[Cut]]
    """By track."""

    @property
    def windows(self) -> list[Window]:
        """All utterances."""
        return [cut.window for cuts in self.cuts for cut in cuts]

    @property
    def speech_seconds(self) -> float:
        """Their length."""
        return sum(len(window.waveform) for window in self.windows) / SAMPLE_RATE_HERTZ


def cut(tracks: Sequence[Call]) -> Work:
    """Cut the tracks into utterances."""
    session = load_vad_session()
    cuts = []
    for track in tracks:
        endpointer = Endpointer(session, SETTINGS.endpointing)
        found = [event for event in [*endpointer.feed(track.pcm), *endpointer.flush()] if isinstance(event, Utterance)]
        cuts.append(
            [
                Cut(
                    track.language,
                    each.start_sample / SAMPLE_RATE_HERTZ,
                    each.boundary_sample / SAMPLE_RATE_HERTZ,
                    Window(each.waveform, track.language, Mode.FINAL),
                )
                for each in found
                if each.is_speech
            ]
        )
    return Work(tracks, cuts)


class Bare:
    """faster-whisper as its documentation uses it, on all cores of the machine, with the options of our finals."""

    def __init__(self, cores: int) -> None:
        self._model = bare_model(cores, 1)
        self._parallel = bare_model(1, cores)
        self._cores = cores

    def one_by_one(self, work: Work) -> None:
        """Each utterance a file, one after another."""
        for window in work.windows:
            _transcribe(self._model, window)

    def in_parallel(self, work: Work) -> None:
        """The same, from as many threads as there are cores, each with a worker of its own."""
        with ThreadPoolExecutor(self._cores) as threads:
            list(threads.map(lambda window: _transcribe(self._parallel, window), work.windows))

    def batched(self, work: Work) -> None:
        """Each track a file with the same cuts, eight at a time."""
        pipeline = BatchedInferencePipeline(self._model)
        for track, cuts in zip(work.tracks, work.cuts, strict=True):
            clips = [{"start": each.start_seconds, "end": each.end_seconds} for each in cuts]
            segments, _ = pipeline.transcribe(
                to_waveform(track.pcm), language=track.language, clip_timestamps=clips, batch_size=_BATCH,
                beam_size=_BEAM, temperature=0.0, word_timestamps=True, without_timestamps=False,
            )  # fmt: skip
            list(segments)

    def whole_tracks(self, work: Work) -> None:
        """Each track a file, silence filtered out by the library: thirty seconds of speech to a window."""
        for track in work.tracks:
            segments, _ = self._model.transcribe(
                to_waveform(track.pcm), language=track.language, vad_filter=True, beam_size=_BEAM, temperature=0.0,
                word_timestamps=True, condition_on_previous_text=False,
            )  # fmt: skip
            list(segments)


def bare_model(threads: int, workers: int) -> WhisperModel:
    """Load the model that every variant uses."""
    return WhisperModel(
        str(tiny_whisper_directory()), device="cpu", compute_type="int8", cpu_threads=threads, num_workers=workers
    )


def _transcribe(model: WhisperModel, window: Window) -> list[Any]:
    segments, _ = model.transcribe(
        window.waveform, language=window.language, beam_size=_BEAM, temperature=0.0, word_timestamps=True,
        condition_on_previous_text=False,
    )  # fmt: skip
    return list(segments)


async def pooled(loaded: Loaded, work: Work) -> None:
    """All utterances as finals of the pool."""
    async with open_pool(loaded.engine) as pool, asyncio.TaskGroup() as tasks:
        for window in work.windows:
            tasks.create_task(pool.decode_final(window, due=monotonic() + 2.0))


async def measure_round(loaded: Loaded, bare: Bare, work: Work, turn: int) -> dict[str, dict[str, float]]:
    """Let every variant do the work once, each round in another order; seconds of speech per second."""
    variants: dict[str, Callable[[Work], None]] = {
        "bare_one_by_one": bare.one_by_one,
        "bare_in_parallel": bare.in_parallel,
        "bare_batched": bare.batched,
        "bare_whole_tracks": bare.whole_tracks,
    }
    order = ["pool", *variants]
    figures = {}
    for name in order[turn % len(order) :] + order[: turn % len(order)]:
        started = perf_counter()
        if name == "pool":
            await pooled(loaded, work)
        else:
            await asyncio.to_thread(variants[name], work)
        figures[name] = {"speech_seconds_per_s": work.speech_seconds / (perf_counter() - started)}
    return figures
