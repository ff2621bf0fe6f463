"""Keys of a mesh that nobody has configured: made once, kept beside its data, readable by its owner only."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from kit.settings import SecretList, Section


class KeySettings(Section):
    """The keys as far as they are set; unlike the rooms, the supervisor can make what is missing."""

    api_keys: SecretList = ()
    """Keys of people and their programs."""
    service_api_keys: SecretList = ()
    """Keys of rooms and trusted backends."""
    auth_mode: str = "api_key"
    """How callers prove who they are."""
    mesh_shared_secret: SecretList = ()
    """With what rooms sign their calls to each other."""


@dataclass(frozen=True, slots=True)
class Keys:
    """One key for people's programs and one for the rooms among themselves."""

    user: str
    service: str

    def environment(self, settings: KeySettings) -> dict[str, str]:
        """The variables that hand the rooms what is not set already."""
        given = {"API_KEYS": bool(settings.api_keys), "SERVICE_API_KEYS": bool(settings.service_api_keys)}
        ours = {"API_KEYS": self.user, "SERVICE_API_KEYS": self.service}
        handed = {name: key for name, key in ours.items() if key and not given[name]}
        if settings.auth_mode == "jwt" and not settings.mesh_shared_secret:
            # Only the rooms of this one process need to know it, and only while it runs.
            handed["MESH_SHARED_SECRET"] = secrets.token_hex(32)
        return handed


def keys_for(settings: KeySettings, directory: Path) -> Keys:
    """The first key of each kind from the settings; without a service key the ones kept in `directory`.

    A user key that is set counts also then.
    """
    user = settings.api_keys[0].get_secret_value() if settings.api_keys else ""
    if settings.service_api_keys:
        return Keys(user, settings.service_api_keys[0].get_secret_value())
    made = generated_keys(directory)
    return Keys(user or made.user, made.service)


def generated_keys(directory: Path) -> Keys:
    """Read the keys kept in `directory`, or make them."""
    path = directory / "keys.json"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"user": secrets.token_urlsafe(24), "service": secrets.token_urlsafe(24)}, file)
    kept = json.loads(path.read_text())
    return Keys(kept["user"], kept["service"])
