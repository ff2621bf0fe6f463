"""Which gateway to watch, and with which key."""

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from kit.auth.outgoing import Credential
from kit.rpc.certificates import read_material
from kit.settings import CoreSettings, SecretList, Section, TargetSettings, TlsSettings, load
from tui.settings import ConsoleSettings

_ADDRESS_BOOK = "mesh.json"
_PLAIN = TlsSettings.naming(ca_file=None)


@dataclass(frozen=True, slots=True)
class Connection:
    """A gateway and how to prove who calls. `key_origin` says where the key came from, for sentences."""

    target: str
    key: str | None = field(repr=False)
    key_origin: str
    key_file: Path | None = None
    """File that the key came from: a key that is renewed there is used from then on."""
    tenant: str = ""
    """Tenant to act for; empty: the one that the key belongs to."""
    person: str = ""
    """Who works here, where several people share a key."""
    tls: TlsSettings = _PLAIN
    """Whose certificate the gateway must show, if it talks TLS."""

    @property
    def credential(self) -> Credential | None:
        """What to show with each call."""
        return self.key if self.key is None or self.key_file is None else self.present_key

    def present_key(self) -> str:
        """Return the key as its file has it now, as it was at the start while the file cannot be read."""
        if self.key_file is not None:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                return self.key_file.read_text(encoding="utf-8").strip() or self.key or ""
        return self.key or ""


class ServiceKeys(Section):
    """The keys alone: the console proves who it is, it does not check others."""

    service_api_keys: SecretList = ()


def find_connection(
    target: str | None = None,
    key: str | None = None,
    key_file: Path | None = None,
    tenant: str = "",
    ca_file: Path | None = None,
) -> Connection:
    """Settle where to connect.

    What is given wins, then GATEWAY_TARGET and SERVICE_API_KEYS. With neither an address nor a key given, the mesh
    that runs on this machine is taken with its own key: its key goes to no other address.

    Args:
        target: gRPC address, or None.
        key: service key, or None.
        key_file: file that holds the key, or None.
        tenant: to act for, or empty.
        ca_file: authorities of the gateway's certificate, in place of GRPC_TLS_CA_FILE, or None.

    Raises:
        SettingsError: a setting is wrong, or a certificate.
        OSError: the key file cannot be read.
        UnicodeDecodeError: it is not text.
    """
    core, targets, keys, console, tls = load(CoreSettings, TargetSettings, ServiceKeys, ConsoleSettings, TlsSettings)
    if ca_file is not None:
        tls = tls.model_copy(update={"ca_file": ca_file, "enabled": True})
    configured = target or (targets.gateway_target if "gateway_target" in targets.model_fields_set else None)
    given, origin = key, "--key"
    read = key_file if given is None and key_file is not None else None
    if read is not None:
        given, origin = read.read_text(encoding="utf-8").strip(), f"--key-file {read}"
    book = _running_mesh(core.agent_data_dir) if configured is None and not given else None
    if book is not None:
        origin = str(core.agent_data_dir / _ADDRESS_BOOK)
        told = Path(book["ca_file"]) if book["ca_file"] else None
        safe = book["tls"] == "on" or ca_file is not None
        return Connection(
            book["gateway"],
            book["service_key"] or None,
            origin,
            tenant=tenant,
            person=console.operator,
            tls=TlsSettings.naming(ca_file=ca_file or told, server_name=book["server_name"], enabled=True)
            if safe
            else _PLAIN,
        )
    if tls.on:
        read_material(tls)  # says now what is wrong with it, not amid the screen
    if not given and keys.service_api_keys:
        given, origin, read = keys.service_api_keys[0].get_secret_value(), "SERVICE_API_KEYS", None
    return Connection(
        configured or targets.gateway_target,
        given or None,
        origin if given else "",
        key_file=read,
        tenant=tenant,
        person=console.operator,
        tls=tls if tls.on else _PLAIN,
    )


def _running_mesh(data: Path) -> dict[str, str] | None:
    """Read the address book of a mesh with this data directory; None when none runs."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        book = json.loads((data / _ADDRESS_BOOK).read_text(encoding="utf-8"))
        os.kill(int(book["pid"]), 0)  # a mesh that was killed leaves its book behind
        return {
            "gateway": str(book["gateway"]),
            "service_key": str(book["service_key"] or ""),
            "tls": "on" if "grpc_tls_server_name" in book else "off",
            "ca_file": str(book.get("grpc_tls_ca_file", "")),
            "server_name": str(book.get("grpc_tls_server_name", "")),
        }
    return None
