"""Keys of a mesh that nobody has configured: made once, kept beside its data, readable by its owner only."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from kit.settings import AuthSettings


@dataclass(frozen=True, slots=True)
class Keys:
    """One key for people's programs and one for the rooms among themselves."""

    user: str
    service: str

    def environment(self) -> dict[str, str]:
        """The variables that hand the keys to the rooms."""
        return {"API_KEYS": self.user, "SERVICE_API_KEYS": self.service}


def configured_keys(auth: AuthSettings) -> Keys | None:
    """The first key of each kind from the settings, or None when none is set."""
    if not auth.service_api_keys:
        return None
    service = auth.service_api_keys[0].get_secret_value()
    return Keys(auth.api_keys[0].get_secret_value() if auth.api_keys else "", service)


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
