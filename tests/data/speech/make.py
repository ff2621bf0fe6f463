"""Make the spoken sentences of the speech tests anew: `python -m tests.data.speech.make` (needs libespeak-ng).

One process per sentence: what the synthesiser said before would colour the next one's noise.
"""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

from examples.interview.codec import write_flac
from examples.interview.espeak import Voice, load_synthesiser
from examples.interview.interview import Interview
from examples.interview.script import Script, Speaker, Turn
from examples.interview.timeline import perform
from tests.data.speech.sentences import HERE, INDEX, SAMPLE_RATE_HERTZ

_WORDS_PER_MINUTE = 160
_SENTENCES = (
    ("en", "en-us+f2", "The designer changed the last report."),
    ("en", "en-us+m3", "I worked with python for five years."),
    ("en", "en-us+f1", "Why did you choose kafka and not redis?"),
    ("ru", "ru+m2", "Это был большой и сложный проект."),
    ("ru", "ru+f2", "Мы закончили тест вчера."),
    ("ru", "ru+f1", "Мы изменили это за девять дней."),
)


def main() -> int:
    """Write the sentences and their index; return the process's exit code."""
    index = []
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh, max_tasks_per_child=1) as processes:
        spoken = list(processes.map(_say, *zip(*_SENTENCES, strict=True)))
    for number, ((language, voice, text), interview) in enumerate(zip(_SENTENCES, spoken, strict=True), start=1):
        name = f"{language}-{number}.flac"
        [utterance] = interview.utterances()
        pcm = interview.tracks["voice"][: utterance.end_ms * SAMPLE_RATE_HERTZ // 1_000]
        write_flac(HERE / name, pcm, SAMPLE_RATE_HERTZ)
        words = [[word.word, word.start_ms, word.end_ms] for word in utterance.words]
        index.append({"file": name, "language": language, "voice": voice, "text": text, "words": words})
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in index)
    INDEX.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return 0


def _say(language: str, voice: str, text: str) -> Interview:
    speaker = Speaker(id="voice", name=voice, role="candidate", voice=Voice(voice, words_per_minute=_WORDS_PER_MINUTE))
    turn = Turn(speaker="voice", text=text, pause_ms=0)
    return perform(Script(language=language, tail_ms=0, speakers=(speaker,), turns=(turn,)), load_synthesiser())


if __name__ == "__main__":
    sys.exit(main())
