"""Where a running mesh is: a file in its data directory, for the programs of the same user on the same machine."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

NAME = "mesh.json"


def read_address_book(data: Path) -> dict[str, str] | None:
    """Return the mesh's `url`, `user_key`, `service_key`, `pid`, each room's address, `database_url` if it is our own.

    None if no mesh runs.
    """
    with contextlib.suppress(OSError, ValueError):
        book = json.loads((data / NAME).read_text())
        os.kill(int(book["pid"]), 0)
        return {str(key): str(value) for key, value in book.items()}
    return None


def write_address_book(data: Path, addresses: Mapping[str, str]) -> None:
    """Say where the mesh of this process is; only its owner may read the keys."""
    descriptor = os.open(data / NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"pid": os.getpid(), **addresses}, file)


def remove_address_book(data: Path) -> None:
    """Say that no mesh runs here any more."""
    (data / NAME).unlink(missing_ok=True)
