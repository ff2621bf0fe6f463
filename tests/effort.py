"""How hard property tests try: little in the loop, more with HYPOTHESIS_PROFILE=long."""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

_LONG = 30


def effort(examples: int, *, steps: int = 40) -> settings:
    """Return settings for a test that tries so many examples in the loop, `steps` rules each if it is a machine.

    With HYPOTHESIS_PROFILE=long it tries thirty times as many, other ones each time.
    """
    known = {"": 1, "default": 1, "long": _LONG}
    profile = os.environ.get("HYPOTHESIS_PROFILE", "")
    if profile not in known:
        raise ValueError(f"HYPOTHESIS_PROFILE is {profile!r}, not default or long")
    base = settings(
        max_examples=examples * known[profile],
        stateful_step_count=steps,
        deadline=None,
        # Real files, servers and databases take their time, and the first example pays for the start.
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    return settings(base, derandomize=False) if profile == "long" else base


def explore(machine: Callable[[], RuleBasedStateMachine], *, examples: int, steps: int) -> None:
    """Run a machine through its rules in many orders; it is made anew for each example."""
    run: Any = run_state_machine_as_test  # its signature wants a class, a function will do
    run(machine, settings=effort(examples, steps=steps))
