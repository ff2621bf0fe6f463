"""The forecast: what tracks cost, how rare interims become, and when no more tracks are taken."""

import numpy as np
import pytest

from services.stt.audio import samples_of
from services.stt.engines.engine import Capabilities, Hypothesis, Mode, SpeechEngine, Window
from services.stt.load import FULL, MOST_STRETCH, Economy, Forecast, Listener, Seed, TrackCost, probe
from tests.fakes.speech_engine import HeldEngine

_SECOND = samples_of(1.0)


def _window(mode: Mode, seconds: float = 2.0) -> Window:
    return Window(np.zeros(samples_of(seconds), np.float32), "en", mode)


def _talk(forecast: Forecast, listener: Listener, *, seconds: int, finals: float, interims: float) -> None:
    """Let a track be heard, and be decoded for so much worker time per second."""
    for _ in range(seconds):
        listener.heard(_SECOND)
        forecast.decoded(_window(Mode.FINAL), finals, stretch=1.0)
        forecast.decoded(_window(Mode.INTERIM), interims, stretch=1.0)


def test_before_anything_is_heard_the_warm_up_says_what_a_track_costs() -> None:
    forecast = Forecast(2, Seed(TrackCost(finals=0.1, interims=0.2)))
    assert forecast.cost == TrackCost(0.1, 0.2)
    assert forecast.tracks_that_fit == int(FULL * 2 / (0.1 + 0.2 / MOST_STRETCH))


def test_what_is_measured_replaces_what_was_guessed() -> None:
    forecast = Forecast(2, Seed(TrackCost(finals=1.0, interims=1.0)))
    with forecast.track() as listener:
        _talk(forecast, listener, seconds=3_000, finals=0.05, interims=0.08)
        assert forecast.cost.finals == pytest.approx(0.05, rel=0.5)
        assert forecast.cost.interims == pytest.approx(0.08, rel=0.5)
        assert forecast.real_time_factor == pytest.approx(0.025, rel=0.01)


def test_tracks_are_taken_until_the_workers_are_nearly_full_with_interims_at_their_rarest() -> None:
    forecast = Forecast(2, Seed(TrackCost(finals=0.1, interims=0.4)))
    taken = []
    while forecast.fits_one_more:
        track = forecast.track()
        track.__enter__()
        taken.append(track)
    assert len(taken) == int(FULL * 2 / (0.1 + 0.4 / MOST_STRETCH)) == forecast.tracks_that_fit
    assert forecast.load == pytest.approx(len(taken) * (0.1 + 0.4 / MOST_STRETCH) / 2)
    taken.pop().__exit__(None, None, None)
    assert forecast.fits_one_more
    for track in taken:
        track.__exit__(None, None, None)
    assert forecast.load == 0.0


def test_the_first_track_is_taken_whatever_it_costs() -> None:
    forecast = Forecast(1, Seed(TrackCost(finals=9.0)))
    assert forecast.fits_one_more
    with forecast.track():
        assert not forecast.fits_one_more


def test_interims_become_rarer_as_finals_and_interims_together_need_more_than_there_is() -> None:
    forecast = Forecast(1, Seed(TrackCost(finals=0.1, interims=0.2)))
    stretches = []
    tracks = []
    for _ in range(8):
        track = forecast.track()
        track.__enter__()
        tracks.append(track)
        stretches.append(forecast.stretch)
    assert stretches[:2] == [1.0, 1.0]
    assert stretches[2:] == sorted(stretches[2:])
    assert stretches[3] == pytest.approx(0.8 / (FULL - 0.4))
    assert stretches[-1] == MOST_STRETCH


def test_stretched_and_dropped_interims_count_as_if_they_had_been_decoded() -> None:
    often, rarely = Forecast(1), Forecast(1)
    with often.track() as one, rarely.track() as other:
        one.heard(10 * _SECOND)
        other.heard(10 * _SECOND)
        for _ in range(20):
            often.decoded(_window(Mode.INTERIM), 0.1, stretch=1.0)
        for _ in range(4):
            rarely.decoded(_window(Mode.INTERIM), 0.1, stretch=4.0)
        assert rarely.cost.interims < often.cost.interims
        for _ in range(3):
            rarely.dropped(4.0)
        assert rarely.cost.interims > often.cost.interims / 2


def test_a_track_that_catches_up_costs_no_more_per_second_of_sound() -> None:
    forecast = Forecast(2)
    with forecast.track() as listener:
        listener.heard(600 * _SECOND)
        forecast.decoded(_window(Mode.FINAL), 30.0, stretch=1.0)
        assert forecast.load < 0.05


def test_a_long_mute_does_not_make_speech_look_cheap() -> None:
    forecast = Forecast(2)
    with forecast.track() as listener:
        _talk(forecast, listener, seconds=600, finals=0.1, interims=0.0)
        before = forecast.cost.finals
        listener.silent(3_600 * _SECOND)
        assert forecast.cost.finals == pytest.approx(before, rel=0.02)


def test_a_batch_that_was_not_full_is_rated_as_if_it_had_been() -> None:
    economy = Economy(batch=16, full=4.0)
    assert economy.at_best(16) == pytest.approx(1.0)
    assert economy.at_best(1) == pytest.approx(4.0 / 16)
    assert 0.25 < economy.at_best(4) < 1.0
    assert Economy().at_best(1) == 1.0


def test_the_probe_asks_each_way_and_does_not_ask_a_service_that_is_paid() -> None:
    engine = HeldEngine()
    probe(engine, 0.5)
    assert [window.mode for window in engine.asked] == [Mode.FINAL, Mode.INTERIM]
    service = _Service()
    assert probe(service, 0.5) == Seed()
    assert service.asked == []


def test_an_engine_that_fails_the_probe_still_serves() -> None:
    engine: SpeechEngine = HeldEngine()
    assert isinstance(engine, HeldEngine)
    engine.failing = True
    assert probe(engine, 0.5) == Seed()


class _Service(HeldEngine):
    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("held", "none", None, word_times=True, punctuated=True, workers=1, remote=True)

    def decode(self, windows: object) -> list[Hypothesis]:
        raise AssertionError("nobody may ask")
