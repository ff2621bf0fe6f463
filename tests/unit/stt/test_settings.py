"""Settings of the room: rules over several values name the variable to change."""

import pytest

from kit.settings import SettingsError, load
from services.stt.settings import SttSettings


def test_seconds_become_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_END_SILENCE_SECONDS", "0.8")
    (settings,) = load(SttSettings)
    assert settings.endpointing.end_silence_samples == 12_800
    assert settings.endpointing.pre_roll_samples == 4_000


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STT_POST_ROLL_SECONDS", "0.9"),
        ("STT_KEEP_PROBABILITY", "0.9"),
        ("STT_SETTLE_SILENCE_SECONDS", "0.4"),
        ("STT_LONGEST_UTTERANCE_SECONDS", "40"),
    ],
)
def test_values_that_contradict_each_other_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        load(SttSettings)


def test_workers_default_to_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STT_THREADS", raising=False)
    (settings,) = load(SttSettings)
    assert settings.workers >= 1
    assert SttSettings(threads=3).workers == 3
