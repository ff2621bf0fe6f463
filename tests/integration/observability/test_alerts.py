"""The alert rules speak of metrics that the rooms really export, and each alert says what to do."""

import re
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from kit.auth.authenticator import ApiKeys
from kit.auth.keys import KeyRing
from kit.blobs import open_blobs
from kit.lifecycle import Shutdown
from services.connector import metrics as _of_the_connector  # noqa: F401 - its series are there once it is loaded
from services.report.app import open_report
from services.report.settings import ReportSettings
from tests.integration.ingest.running import SERVICE_KEY, USER_KEY, serving_ingest
from tests.integration.stt.running import running_stt
from tests.kit_server import eventually
from tests.postgres import database_url, fresh_database

__all__ = ["database_url"]

DIRECTORY = Path("deploy/observability/prometheus")
RUNBOOKS = Path("docs/runbooks")
SEVERITIES = {"default", "warning", "critical"}
"""Where alerts are routed to."""


@cache
def rules() -> list[Any]:
    groups = yaml.safe_load((DIRECTORY / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def selectors() -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each series that a rule asks for: its name, and its labels as they stand on the page."""
    for rule in rules():
        for found in re.finditer(r"\b(agent_[a-z0-9_]+)(\{[^}]*\})?", rule["expr"]):
            labels = found[2].strip("{}").split(",") if found[2] else []
            yield found[1], frozenset(label.strip() for label in labels)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_how_bad_it_is_what_to_do_and_where_to_read_on(rule: Any) -> None:
    assert rule["labels"]["severity"] in SEVERITIES
    notes = rule["annotations"]
    assert notes["summary"]
    assert len(notes["description"].split(". ")) >= 2, "it says what is wrong, then what to do"
    runbook = RUNBOOKS / f"{rule['alert']}.md"
    assert notes["runbook"] == str(runbook)
    text = runbook.read_text(encoding="utf-8")
    assert text.startswith(f"# {rule['alert']}: ")
    assert all(part in text for part in ("**It means.**", "**Look at**", "**Do**"))
    assert 8 <= len(text.splitlines()) <= 25


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("Agent*.md")} == {rule["alert"] for rule in rules()}


def test_every_alert_is_tried() -> None:
    tried = yaml.safe_load((DIRECTORY / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {case["alertname"] for test in tried for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in rules()}


async def test_every_series_of_a_rule_is_exported_by_a_room_that_has_just_started(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    asked = ReportSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0")
    auth = ApiKeys(KeyRing((SecretStr(USER_KEY),), (SecretStr(SERVICE_KEY),)))
    async with (
        serving_ingest(database_url, tmp_path / "ingest") as ingest,
        fresh_database() as database,
        open_blobs("local_fs", tmp_path / "blobs") as blobs,
        open_report(asked, database, blobs, auth, Shutdown()) as report,
        running_stt(provider="openai_http", openai_attempts=1),  # an engine of our own, alone, has no breaker
    ):
        ports = [ingest.room.metrics_port, report.metrics_port]  # what a process exports stands on all its pages
        missing: set[str] = set()

        async def all_there() -> bool:
            nonlocal missing
            lines = [line for port in ports for line in page(port)]
            missing = {f"{name}{set(labels)}" for name, labels in selectors() if not exported(lines, name, labels)}
            return not missing

        try:
            await eventually(all_there, seconds=20)
        except TimeoutError:
            pytest.fail(f"no room exports {sorted(missing)}")


def page(port: int | None) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        text: str = response.read().decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def exported(lines: list[str], name: str, labels: frozenset[str]) -> bool:
    for line in lines:
        found = re.match(r"(\w+)(\{[^}]*\})? ", line)
        if found and found[1] == name and all(label in (found[2] or "") for label in labels):
            return True
    return False
