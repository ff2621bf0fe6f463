"""The doctor's round: every finding in order, as a table, and an exit status for scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kit.settings import (
    AuthSettings,
    CoreSettings,
    DatabaseSettings,
    RpcSettings,
    SettingsError,
    StorageSettings,
    TargetSettings,
    TelemetrySettings,
    TlsSettings,
    load,
)
from kit.telemetry import logs
from mesh.doctor.finding import Finding
from mesh.doctor.keepers import database_findings, storage_findings
from mesh.doctor.machine import machine_findings, place_findings
from mesh.doctor.rooms import room_findings
from mesh.doctor.speech import speech_findings
from mesh.doctor.tls import tls_findings
from mesh.keys import KeySettings

GLYPHS = {"ok": "[green]●[/]", "note": "[yellow]▲[/]", "missing": "[red]✖[/]"}
_MADE_BY_UP = ("API_KEYS:", "SERVICE_API_KEYS:", "MESH_SHARED_SECRET:")


def run_doctor() -> int:
    """Print the findings; the exit status is 1 when something is missing that a mesh needs."""
    logs.configure("agent", "critical", "console", stream=sys.stderr)  # the table says it, with what to do
    return show(list(examine()))


def show(findings: Sequence[Finding]) -> int:
    """Print findings; 1 when something is missing."""
    console = Console()
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        table.add_row(GLYPHS[finding.state], Text(finding.subject), Text(finding.detail))  # extras stand in brackets
    console.print(table)
    missing = sum(finding.state == "missing" for finding in findings)
    console.print(f"\n{missing} to mend" if missing else "\nready: agent up", style="bold")
    return 1 if missing else 0


def examine() -> Iterator[Finding]:
    """Look at everything; what cannot be looked at because its settings are wrong is left out."""
    yield from machine_findings()
    yield from room_findings()
    try:
        core, keys, database, storage, tls, *_ = load(
            CoreSettings,
            KeySettings,
            DatabaseSettings,
            StorageSettings,
            TlsSettings,
            RpcSettings,
            TelemetrySettings,
            TargetSettings,
        )
    except SettingsError as error:
        for problem in error.problems:
            yield Finding("settings", "missing", problem)
    else:
        yield Finding("settings", "ok", f"APP_ENV={core.app_env}")
        yield from _keys(keys)
        yield from tls_findings(tls)
        yield from place_findings(core.agent_data_dir)
        yield from database_findings(database)
        yield from storage_findings(storage, core)
    yield from speech_findings()


def _keys(keys: KeySettings) -> Iterator[Finding]:
    if keys.service_api_keys:
        yield Finding("keys", "ok", f"{len(keys.api_keys)} user, {len(keys.service_api_keys)} service")
    else:
        advice = "none set: `agent up` makes some; set API_KEYS and SERVICE_API_KEYS for more nodes"
        yield Finding("keys", "note", advice)
    try:
        load(AuthSettings)
    except SettingsError as error:
        for problem in error.problems:
            if not problem.startswith(_MADE_BY_UP):
                yield Finding("keys", "missing", problem)
