"""Prometheus takes the rules, and they fire when they must and only then."""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

DIRECTORY = Path("deploy/observability/prometheus")


@pytest.mark.parametrize(
    "command",
    [["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]],
    ids=" ".join,
)
def test_promtool_is_content(command: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *command], cwd=DIRECTORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
