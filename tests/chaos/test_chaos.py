"""The whole thing as tests: `pytest -m chaos`. `make chaos` and `make chaos-control` say more while they run."""

import subprocess
import sys

import pytest

from tests.chaos.mesh import ROOT

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

_MISSING = 2


def run(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "tests.chaos", *arguments], cwd=ROOT, check=False).returncode


def test_nothing_is_missing_whatever_dies():
    assert run("--kills", "60") == 0


@pytest.mark.parametrize("promise", ["audio", "text"])
def test_a_broken_promise_is_found(promise: str):
    assert run("--without-durability", promise) == _MISSING
