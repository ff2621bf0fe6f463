"""Voice activity: the same samples give the same probabilities, however they come."""

import numpy as np

from services.stt.audio import to_waveform
from services.stt.engines.silero import load_vad_session
from services.stt.vad import WINDOW_SAMPLES, VoiceActivity
from tests.data.speech.sentences import sentences, track

_SOUND = to_waveform(track(sentences("en")[:1]))
_WHOLE = len(_SOUND) // WINDOW_SAMPLES * WINDOW_SAMPLES


def _heard(activity: VoiceActivity, windows_per_call: int) -> list[float]:
    step = windows_per_call * WINDOW_SAMPLES
    calls = [_SOUND[start : min(start + step, _WHOLE)] for start in range(0, _WHOLE, step)]
    return [probability for call in calls for probability in activity.probabilities(call)]


def test_windows_per_call_do_not_change_the_outcome() -> None:
    session = load_vad_session()
    assert _heard(VoiceActivity(session), 1) == _heard(VoiceActivity(session), 3) == _heard(VoiceActivity(session), 50)


def test_a_restart_forgets_everything() -> None:
    activity = VoiceActivity(load_vad_session())
    first = _heard(activity, 3)
    activity.restart()
    assert _heard(activity, 3) == first


def test_speech_is_told_from_silence() -> None:
    probabilities = _heard(VoiceActivity(load_vad_session()), 3)
    assert max(probabilities) > 0.9
    assert np.mean(probabilities[:20]) < 0.1
