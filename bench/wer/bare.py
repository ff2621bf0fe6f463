"""The floor: faster-whisper by itself, on the cuts that voice activity makes of the track."""

from faster_whisper import WhisperModel

from bench.wer.call import Call, Side
from services.stt.endpointing import Endpointer, Utterance
from services.stt.engines.silero import load_vad_session
from services.stt.models import tiny_whisper_directory
from services.stt.settings import SttSettings


def transcribe(call: Call) -> dict[str, str]:
    """Return the text of each side."""
    settings = SttSettings(provider=("demo",))
    model = WhisperModel(str(tiny_whisper_directory()), device="cpu", compute_type="int8", cpu_threads=1)
    return {side.name: _side(model, call.language, side, settings) for side in call.sides}


def _side(model: WhisperModel, language: str, side: Side, settings: SttSettings) -> str:
    endpointer = Endpointer(load_vad_session(), settings.endpointing)
    texts = []
    for cut in endpointer.feed(side.pcm) + endpointer.flush():
        if isinstance(cut, Utterance):
            segments, _ = model.transcribe(
                cut.waveform,
                language=language,
                beam_size=settings.beam_size,
                temperature=0.0,
                condition_on_previous_text=False,
            )
            texts += [segment.text.strip() for segment in segments]
    return " ".join(texts)
