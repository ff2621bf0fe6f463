"""Where a running mesh is: a file in its data directory, for the programs of the same user on the same machine."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from kit.settings import TlsSettings

NAME = "mesh.json"


def read_address_book(data: Path) -> dict[str, str] | None:
    """Return the mesh's `url`, `user_key`, `service_key`, `pid`, each room's address, `database_url` if it is our own,
    and what `tls_in` reads.

    None if no mesh runs.
    """
    with contextlib.suppress(OSError, ValueError):
        book = json.loads((data / NAME).read_text())
        os.kill(int(book["pid"]), 0)
        return {str(key): str(value) for key, value in book.items()}
    return None


def book_of(tls: TlsSettings) -> dict[str, str]:
    """Return what a mesh whose rooms talk over TLS writes about that."""
    absolute = {variable.lower(): str(path.absolute()) for variable, path in tls.files.items()}
    return absolute | {"grpc_tls_server_name": tls.server_name}


def tls_in(book: Mapping[str, str]) -> TlsSettings:
    """Return with what the rooms of a mesh are called; no TLS if it has none, whatever our own settings are."""

    def path(name: str) -> Path | None:
        return Path(book[name]) if book.get(name) else None

    return TlsSettings.naming(
        cert_file=path("grpc_tls_cert_file"),
        key_file=path("grpc_tls_key_file"),
        ca_file=path("grpc_tls_ca_file"),
        server_name=book.get("grpc_tls_server_name", ""),
    )


def write_address_book(data: Path, addresses: Mapping[str, str]) -> None:
    """Say where the mesh of this process is; only its owner may read the keys."""
    descriptor = os.open(data / NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"pid": os.getpid(), **addresses}, file)


def remove_address_book(data: Path) -> None:
    """Say that no mesh runs here any more."""
    (data / NAME).unlink(missing_ok=True)
