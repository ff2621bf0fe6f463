"""The breaker: when an engine rests, who tries it afterwards, and what its own wishes count for."""

from services.stt.engines.breaker import Breaker


class _Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def _breaker(clock: _Clock) -> Breaker:
    return Breaker(threshold=2, rest_seconds=30.0, clock=clock)


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not():
    breaker = _breaker(_Clock())
    assert breaker.admit()
    assert not breaker.failed()
    breaker.succeeded()
    assert not breaker.failed()
    assert breaker.admit()
    assert breaker.failed()
    assert not breaker.admit()
    assert (breaker.state.state, breaker.state.failures, breaker.state.threshold) == ("open", 2, 2)


def test_after_its_rest_one_utterance_tries_it():
    clock = _Clock()
    breaker = _breaker(clock)
    breaker.failed()
    breaker.failed()
    clock.seconds += 29.0
    assert not breaker.admit()
    assert breaker.rest_seconds == 1.0
    clock.seconds += 1.0
    assert [breaker.admit(), breaker.admit(), breaker.admit()] == [True, False, False]
    assert breaker.state.state == "half_open"
    breaker.succeeded()
    assert breaker.admit()
    assert (breaker.state.state, breaker.state.failures, breaker.rest_seconds) == ("closed", 0, 0.0)


def test_a_failed_trial_sends_it_back_to_rest():
    clock = _Clock()
    breaker = _breaker(clock)
    breaker.failed()
    breaker.failed()
    clock.seconds += 30.0
    assert breaker.admit()
    assert breaker.failed()
    assert not breaker.admit()
    assert breaker.rest_seconds == 30.0


def test_an_engine_that_asks_for_rest_gets_it_at_once_and_for_as_long():
    clock = _Clock()
    breaker = _breaker(clock)
    assert breaker.failed(90.0)
    clock.seconds += 89.0
    assert not breaker.admit()
    clock.seconds += 1.0
    assert breaker.admit()


def test_an_answer_that_comes_late_does_not_end_the_rest():
    breaker = _breaker(_Clock())
    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    assert not breaker.admit()
