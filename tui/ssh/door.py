"""One SSH connection: public keys only, and nothing behind it but sessions."""

from typing import Protocol

import asyncssh

from kit.clock import monotonic
from tui.ssh.trail import SshTrail
from tui.ssh.users import User, UsersFile

SHARED_LOGIN = "ops"
"""The login name that everybody may use; besides it, one's own."""

_MOST_KEYS = 6


class House(Protocol):
    """What stands behind every door."""

    users: UsersFile
    trail: SshTrail

    def enter(self, door: "Door") -> bool:
        """Take note of a new connection; returns whether there is room for it."""

    def leave(self, door: "Door") -> None:
        """Forget a connection."""


class Door(asyncssh.SSHServer):
    """Lets in who holds a key of the users file. Forwarding of any kind stays refused, as it is by default.

    Attributes:
        user: who is in; None before that.
        sessions: number of sessions that are open.
        used_at: when the last one ended, or the login was done (monotonic clock).
    """

    def __init__(self, house: House) -> None:
        self.user: User | None = None
        self.sessions = 0
        self.used_at = monotonic()
        self._house = house
        self._candidate: User | None = None
        self._login = ""
        self._refused: dict[str, str] = {}
        self._address = ""
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        peer = conn.get_extra_info("peername")
        self._address = str(peer[0]) if peer else "unknown"
        if not self._house.enter(self):
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._house.leave(self)
        if self.user is None and self._refused:
            fingerprint, reason = list(self._refused.items())[-1]
            self._house.trail.kept_out(self._login, self._address, f"{reason} ({fingerprint})")

    def begin_auth(self, username: str) -> bool:
        self._login = username
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Say whether a key is good here. It is asked twice for each: when it is offered and when it has signed."""
        fingerprint = key.get_fingerprint()
        user = self._house.users.find(key.public_data)
        if user is None:
            self._refused[fingerprint] = "the key is not known"
        elif username not in (SHARED_LOGIN, user.name):
            self._refused[fingerprint] = f"the key is {user.name}'s, who logs in as {SHARED_LOGIN} or {user.name}"
        else:
            self._candidate = user
            return True
        if len(self._refused) >= _MOST_KEYS:
            self.close()
        return False

    def auth_completed(self) -> None:
        assert self._candidate is not None
        self.user, self.used_at = self._candidate, monotonic()
        self._house.trail.came_in(self.user, self._login, self._address)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
