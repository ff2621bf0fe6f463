"""The circuit breaker's rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.connector.breakers.breaker import REST, THRESHOLD, WINDOW, Breaker, BreakerState, Refused
from services.connector.breakers.breakers import Breakers
from services.connector.errors import ProviderBreakerOpen, StateChanged
from services.connector.provider import CallRefused, ProviderAway, SourceLost
from tests.fakes.keepers import MemoryBreakers

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CLOSED = Breaker("connector.x", "https://x", START)
BASE = "https://x"


def failing(times: int, *, apart: timedelta = SECOND) -> Breaker:
    breaker = CLOSED
    for number in range(times):
        breaker = breaker.failed(START + number * apart, f"failure {number}")
    return breaker


def test_failures_in_a_row_open_it_and_say_until_when() -> None:
    assert failing(THRESHOLD - 1).state is BreakerState.CLOSED
    opened = failing(THRESHOLD)
    assert (opened.state, opened.failures, opened.last_error) == (BreakerState.OPEN, 5, "failure 4")
    with pytest.raises(Refused) as refused:
        opened.admit(opened.since + 10 * SECOND)
    assert refused.value.seconds == 20


def test_a_success_between_failures_and_failures_far_apart_start_over() -> None:
    assert failing(4).closed(START).failed(START + 5 * SECOND, "again").failures == 1
    assert failing(20, apart=WINDOW / 3).state is BreakerState.CLOSED


def test_after_a_rest_one_call_goes_through_and_decides() -> None:
    opened = failing(THRESHOLD)
    moment = opened.since + REST
    probing = opened.admit(moment)
    assert probing.state is BreakerState.HALF_OPEN
    with pytest.raises(Refused):
        probing.admit(moment + SECOND)
    assert probing.closed(moment + SECOND).state is BreakerState.CLOSED
    again = probing.failed(moment + SECOND, "still away")
    assert (again.state, again.since) == (BreakerState.OPEN, moment + SECOND)


def test_a_probe_whose_caller_died_makes_room_for_another() -> None:
    opened = failing(THRESHOLD)
    probing = opened.admit(opened.since + REST)
    assert probing.admit(opened.since + 2 * REST).state is BreakerState.HALF_OPEN


def test_a_late_failure_does_not_put_the_probe_off() -> None:
    opened = failing(THRESHOLD)
    assert opened.failed(opened.since + 5 * SECOND, "late").probe_time == opened.probe_time
    assert replace(opened, last_error="late") == opened.failed(opened.since + 5 * SECOND, "late")


async def test_only_a_provider_that_is_away_counts() -> None:
    store = MemoryBreakers()
    breakers = Breakers(store)
    for _ in range(2 * THRESHOLD):
        await breakers.failed("x", BASE, CallRefused("wrong token"))
        await breakers.failed("x", BASE, SourceLost("no packets"))
    await breakers.admit("x", BASE)
    for _ in range(THRESHOLD):
        await breakers.failed("x", BASE, ProviderAway("503"))
    with pytest.raises(ProviderBreakerOpen) as caught:
        await breakers.check("x", BASE)
    assert 0 < (caught.value.retry_after_seconds or 0) <= REST.total_seconds()
    await breakers.admit("x", "https://another")
    await breakers.admit("room", "")


async def test_a_reset_expects_what_the_operator_saw() -> None:
    store = MemoryBreakers()
    breakers = Breakers(store)
    for _ in range(THRESHOLD):
        await breakers.failed("x", BASE, ProviderAway("503"))
    with pytest.raises(StateChanged):
        await breakers.reset("x", "half_open")
    assert (await breakers.reset("x", "open")).state is BreakerState.CLOSED
    assert [change.reason for change in await breakers.history("x")] == ["manual", "failures"]


async def test_a_breaker_is_closed_by_age() -> None:
    store = MemoryBreakers()
    breakers = Breakers(store)
    for _ in range(THRESHOLD):
        await breakers.failed("x", BASE, ProviderAway("503"))
    assert not await breakers.reset_aged(timedelta(minutes=5), 10)
    (opened,) = store.breakers.values()
    store.moment = lambda: opened.since + timedelta(minutes=5)
    assert [one.name for one in await breakers.reset_aged(timedelta(minutes=5), 10)] == ["connector.x"]
    await breakers.admit("x", BASE)
