"""A vault that speaks KV version 1 and 2 as far as reading a secret goes."""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.web_server import running_web_server

TOKEN = "hvs.token-of-the-tests"


@dataclass
class VaultServer:
    """A running vault: `secrets` by path in an engine mounted at `mount`."""

    url: str = ""
    mount: str = "secret"
    version: int = 2
    namespace: str = ""
    sealed: bool = False
    secrets: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    reply: bytes | None = None
    """What is answered in place of a secret."""
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
        """Answer a request as Vault does."""
        self.asked.append(path)
        if self.sealed:
            return 503, b'{"errors":["Vault is sealed"]}'
        wanted = headers.get("x-vault-namespace", "")
        if headers.get("x-vault-token") != TOKEN or wanted != self.namespace:
            return 403, b'{"errors":["permission denied"]}'
        if self.reply is not None:
            return 200, self.reply
        prefix = f"/v1/{self.mount}/" + ("data/" if self.version == 2 else "")
        held = self.secrets.get(path.removeprefix(prefix)) if path.startswith(prefix) else None
        if held is None:
            return 404, b'{"errors":[]}'
        metadata = {"created_time": "2026-09-01T10:00:00Z", "deletion_time": "", "destroyed": False, "version": 3}
        data: Any = {"data": held, "metadata": metadata} if self.version == 2 else held
        return 200, json.dumps({"request_id": "8c0d", "lease_duration": 2764800, "data": data}).encode()


@contextmanager
def running_vault(tls: ssl.SSLContext | None = None, **fields: Any) -> Iterator[VaultServer]:
    """Serve for the block."""
    vault = VaultServer(**fields)
    with running_web_server(vault.answer, tls) as address:
        vault.url = address
        yield vault
