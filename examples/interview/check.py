"""Does the demo model understand the sample call? `python -m examples.interview.check --model DIR [en|ru ...]`.

Each track goes through Opus as in a call, is cut into utterances by the live service's policy, and each utterance is
decoded on its own. A call may start at any moment of the detector's 32 ms step, so it is heard at several phases.
Exits 1 when a speaker's word error rate reaches the limit.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jiwer
import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from examples.interview.codec import through_opus
from examples.interview.endpoints import WINDOW_SAMPLES, utterances
from examples.interview.interview import LANGUAGES, SAMPLE_RATE_HERTZ, Interview, InterviewError, load
from examples.interview.words import normalise

WER_LIMIT = 0.02
PLAIN = "none"
CODECS = ("opus-voip", "opus-audio", PLAIN)


@dataclass(slots=True)
class Heard:
    """What came out of one speaker's track over all phases."""

    references: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)
    cuts: Counter[int] = field(default_factory=Counter)
    """How often a phase was cut into how many utterances."""
    mistakes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """What was heard in place of which utterance, and in how many phases."""

    @property
    def word_error_rate(self) -> float:
        return float(jiwer.wer(self.references, self.hypotheses))


def hear(interview: Interview, speaker_id: str, model: WhisperModel, codec: str, phases: int) -> Heard:
    """Transcribe one speaker's track, once for each phase."""
    heard = Heard()
    track = interview.tracks[speaker_id]
    spoken = interview.utterances(speaker_id)
    for phase in range(phases):
        late = phase * WINDOW_SAMPLES // phases
        pcm = _carried(np.concatenate([np.zeros(late, np.int16), track]), codec)
        texts: dict[int, str] = dict.fromkeys(range(len(spoken)), "")
        cuts = list(utterances(pcm))
        for cut in cuts:
            middle_ms = ((cut.start_sample + cut.end_sample) / 2 - late) / SAMPLE_RATE_HERTZ * 1000
            nearest = min(range(len(spoken)), key=lambda i: abs(spoken[i].start_ms + spoken[i].end_ms - 2 * middle_ms))
            text = _decode(model, pcm[cut.start_sample : cut.end_sample], interview.language)
            texts[nearest] = f"{texts[nearest]} {text}".strip()
        heard.cuts[len(cuts)] += 1
        for index, utterance in enumerate(spoken):
            if normalise(texts[index]) != normalise(utterance.text):
                heard.mistakes[utterance.text, texts[index]] += 1
        heard.references.append(normalise(interview.text(speaker_id)))
        heard.hypotheses.append(normalise(" ".join(texts.values())))
    return heard


def _carried(track: NDArray[np.int16], codec: str) -> NDArray[np.float32]:
    if codec != PLAIN:
        track = through_opus(track, SAMPLE_RATE_HERTZ, application=codec.removeprefix("opus-"))
    return track.astype(np.float32) / np.float32(32_768)


def _decode(model: WhisperModel, pcm: NDArray[np.float32], language: str) -> str:
    segments, _ = model.transcribe(
        pcm, language=language, beam_size=5, temperature=0.0, word_timestamps=True, condition_on_previous_text=False
    )
    return "".join(segment.text for segment in segments).strip()


def _report(interview: Interview, model: WhisperModel, codec: str, phases: int) -> Iterator[tuple[float, list[str]]]:
    for speaker in interview.speakers:
        heard = hear(interview, speaker.id, model, codec, phases)
        cuts = ", ".join(f"{count} in {times}" for count, times in heard.cuts.items())
        yield (
            heard.word_error_rate,
            [
                f"{interview.language} {speaker.name} ({codec}): WER {heard.word_error_rate:.2%}, "
                f"{len(interview.utterances(speaker.id))} utterances spoken, cut into {cuts} of {phases} phases",
                *(f"    {times}x {said} -> {text}" for (said, text), times in heard.mistakes.most_common()),
            ],
        )


def main(arguments: list[str] | None = None) -> int:
    """Print each speaker's word error rate; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="check", description="Word error rate of a model on the sample interviews.")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(LANGUAGES)}; all by default")
    parser.add_argument("--model", type=Path, required=True, help="CTranslate2 Whisper directory")
    parser.add_argument("--codec", choices=CODECS, action="append", help="may be repeated; all by default")
    parser.add_argument("--phases", type=int, default=4, help="starts to try within the detector's 32 ms step")
    options = parser.parse_args(arguments)
    if not (options.model / "model.bin").is_file():
        print(f"check: {options.model} holds no model.bin", file=sys.stderr)
        return 1
    model = WhisperModel(str(options.model), device="cpu", compute_type="int8", cpu_threads=1)
    worst = 0.0
    try:
        for language in options.languages or LANGUAGES:
            interview = load(language)
            for codec in options.codec or CODECS:
                for rate, lines in _report(interview, model, codec, options.phases):
                    print("\n".join(lines), flush=True)
                    worst = max(worst, rate)
    except InterviewError as error:
        print(f"check: {error}", file=sys.stderr)
        return 1
    return 0 if worst < WER_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
