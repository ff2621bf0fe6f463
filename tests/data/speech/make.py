"""Make the spoken sentences of the speech tests anew: `python -m tests.data.speech.make` (needs the espeak-ng program).

One process per sentence: what the synthesiser said before would colour the next one's noise.
"""

import io
import json
import subprocess
import sys
import wave

import numpy as np

from examples.interview.codec import Pcm, resample, write_flac
from tests.data.speech.sentences import HERE, INDEX, SAMPLE_RATE_HERTZ

_WORDS_PER_MINUTE = 160
_SENTENCES = (
    ("en", "en-us", "Hello and thank you for the meeting."),
    ("en", "en-us+f2", "I worked with python for five years."),
    ("en", "en+m2", "Why did you choose kafka and not redis?"),
    ("ru", "ru", "Расскажите про ваш последний проект."),
    ("ru", "ru+f2", "Мы закончили тест вчера."),
    ("ru", "ru+m2", "Сколько лет вы работали над проектом?"),
)


def main() -> int:
    """Write the sentences and their index; return the process's exit code."""
    index = []
    for number, (language, voice, text) in enumerate(_SENTENCES, start=1):
        name = f"{language}-{number}.flac"
        write_flac(HERE / name, _say(text, voice), SAMPLE_RATE_HERTZ)
        index.append({"file": name, "language": language, "voice": voice, "text": text})
    INDEX.write_text(json.dumps(index, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 0


def _say(text: str, voice: str) -> Pcm:
    command = ["espeak-ng", "-v", voice, "-s", str(_WORDS_PER_MINUTE), "--stdout", text]
    spoken = subprocess.run(command, check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(spoken)) as sound:
        # A stream's header does not know the length, so the reader takes all there is.
        pcm = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
        rate = sound.getframerate()
    return resample(pcm, rate, SAMPLE_RATE_HERTZ)


if __name__ == "__main__":
    sys.exit(main())
