"""Which gateway to watch, and with which key."""

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from kit.settings import CoreSettings, SecretList, Section, TargetSettings, load

_ADDRESS_BOOK = "mesh.json"


@dataclass(frozen=True, slots=True)
class Connection:
    """A gateway and how to prove who calls. `key_origin` says where the key came from, for sentences."""

    target: str
    key: str | None = field(repr=False)
    key_origin: str


class ServiceKeys(Section):
    """The keys alone: the console proves who it is, it does not check others."""

    service_api_keys: SecretList = ()


def find_connection(target: str | None = None, key: str | None = None, key_file: Path | None = None) -> Connection:
    """Settle where to connect.

    What is given wins, then GATEWAY_TARGET and SERVICE_API_KEYS. With neither an address nor a key given, the mesh
    that runs on this machine is taken with its own key: its key goes to no other address.

    Args:
        target: gRPC address, or None.
        key: service key, or None.
        key_file: file that holds the key, or None.

    Raises:
        SettingsError: a setting is wrong.
        OSError: the key file cannot be read.
        UnicodeDecodeError: it is not text.
    """
    core, targets, keys = load(CoreSettings, TargetSettings, ServiceKeys)
    configured = target or (targets.gateway_target if "gateway_target" in targets.model_fields_set else None)
    given, origin = key, "--key"
    if given is None and key_file is not None:
        given, origin = key_file.read_text(encoding="utf-8").strip(), f"--key-file {key_file}"
    book = _running_mesh(core.agent_data_dir) if configured is None and not given else None
    if book is not None:
        return Connection(book["gateway"], book["service_key"] or None, str(core.agent_data_dir / _ADDRESS_BOOK))
    if not given and keys.service_api_keys:
        given, origin = keys.service_api_keys[0].get_secret_value(), "SERVICE_API_KEYS"
    return Connection(configured or targets.gateway_target, given or None, origin if given else "")


def _running_mesh(data: Path) -> dict[str, str] | None:
    """Read the address book of a mesh with this data directory; None when none runs."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        book = json.loads((data / _ADDRESS_BOOK).read_text(encoding="utf-8"))
        os.kill(int(book["pid"]), 0)  # a mesh that was killed leaves its book behind
        return {"gateway": str(book["gateway"]), "service_key": str(book["service_key"] or "")}
    return None
