"""`agent audit verify`: check the audit trail where it is kept, without asking the rooms that wrote it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kit.db.embedded import open_embedded
from kit.lifecycle import StartError
from kit.settings import DatabaseSettings, SettingsError, load
from kit.telemetry import logs
from mesh.address_book import read_address_book
from mesh.claim import claimed

_UNREADABLE = 2


def run_verify(data: Path, head: str) -> int:
    """Check the trail of this installation.

    Args:
        data: directory of the node, for its own database: one that runs, or one that is started for this.
        head: hash that some row must have; empty for none.

    Returns:
        The exit status: 0 if the chain is whole, 1 if not, 2 if it cannot be read.
    """
    logs.configure("agent", "warning", "console", stream=sys.stderr)
    try:
        with _database(data) as url:
            # The tables belong to a layer that this program does not import.
            command = [sys.executable, "-m", "store.audit", *(["--head", head] if head else [])]
            return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=False).returncode
    except (SettingsError, StartError) as error:
        sys.stderr.write(f"agent: {error}\n")
        return _UNREADABLE


@contextlib.contextmanager
def _database(data: Path) -> Iterator[str]:
    """Give the block the address of the database.

    Raises:
        StartError: there is none, or it cannot be started.
    """
    (settings,) = load(DatabaseSettings)
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    book = read_address_book(data)
    if book is not None and "database_url" in book:
        yield book["database_url"]
        return
    if not (data / "postgresql").exists():
        raise StartError(f"there is no database in {data}, and DATABASE_URL is not set")
    with claimed(data), open_embedded(data) as postgres:
        yield postgres.url
