"""Voice activity: the same samples give the same probabilities, however they come."""

from typing import Any

import numpy as np
import pytest
from faster_whisper.vad import get_vad_model

from services.stt.audio import to_waveform
from services.stt.engines.silero import load_vad_session
from services.stt.vad import WINDOW_SAMPLES, VoiceActivity, VoiceNetwork
from tests.data.speech.sentences import sentences, silence, track

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


class _Counted:
    """The network, and how many windows it was asked about."""

    def __init__(self) -> None:
        self.windows = 0

    def run(self, output_names: None, feed: dict[str, Any], /) -> list[Any]:
        self.windows += len(feed["input"])
        heard: list[Any] = get_vad_model().session.run(output_names, feed)
        return heard


class _AlwaysAsked(VoiceNetwork):
    """Knows nothing about silence."""

    def quiet_probabilities(self, start: int, end: int) -> list[float] | None:
        return None


@pytest.mark.parametrize("quiet_windows", [0, 1, 30, 499, 500, 501, 640])
@pytest.mark.parametrize("windows_per_call", [1, 3, 7])
def test_what_is_known_of_silence_is_what_the_network_says(quiet_windows: int, windows_per_call: int) -> None:
    spoken = np.concatenate([np.zeros(quiet_windows * WINDOW_SAMPLES, np.float32), _SOUND[:_WHOLE]])
    step = windows_per_call * WINDOW_SAMPLES
    known, asked = (VoiceActivity(kind(_Counted())) for kind in (VoiceNetwork, _AlwaysAsked))
    for start in range(0, len(spoken), step):
        assert known.probabilities(spoken[start : start + step]) == asked.probabilities(spoken[start : start + step])


def test_silence_is_worked_out_once_for_all_tracks() -> None:
    session = _Counted()
    network = VoiceNetwork(session)
    zeros = to_waveform(silence(3.2))
    for _ in range(10):
        VoiceActivity(network).probabilities(zeros)
    assert session.windows == len(zeros) // WINDOW_SAMPLES
