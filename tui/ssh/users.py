"""Who may come in: lines of authorized_keys with a name and a role, read again when the file changes.

    name="ana",role="operator" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... ana@laptop

Whoever is not named here, by a line without a fault, does not come in.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from kit.lifecycle import StartError
from kit.telemetry import logs
from tui.ssh.settings import ROLES, Role

_OPTION = r'[A-Za-z-]+="[^"]*"'
_LINE = re.compile(rf"(?P<options>{_OPTION}(?:,{_OPTION})*)\s+(?P<key>\S+\s+\S+)(?:\s.*)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_OPTIONS = {"name", "role"}
_LEAST_RSA_BITS = 2048
_OTHERS_MAY_WRITE = 0o022
_EXAMPLE = 'name="ana",role="operator" ssh-ed25519 AAAA...'

log = logs.get()


@dataclass(frozen=True, slots=True)
class User:
    """A person with one of their keys. `fingerprint` is `SHA256:...`, as OpenSSH shows it."""

    name: str
    role: Role
    fingerprint: str
    key: bytes = field(repr=False)


def read_users(text: str) -> tuple[Sequence[User], Sequence[str]]:
    """Return the users of a file, and what is wrong with which of its lines; such lines let nobody in."""
    users: dict[bytes, User] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            user = _read_line(line.strip())
            if user.key in users:
                raise ValueError("the key stands on another line already")
        except ValueError as error:
            problems.append(f"line {number}: {error}")
        else:
            users[user.key] = user
    return list(users.values()), problems


class UsersFile:
    """The file, as it is now.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None
        self._users: Mapping[bytes, User] = {}

    def open(self) -> None:
        """Read the file for the first time.

        Raises:
            StartError: it cannot be read, names nobody, or a line is wrong.
        """
        try:
            self._seen = self._look()
            users, problems = read_users(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StartError(f"cannot read the users file {self.path}: {_why(error)}; a line is {_EXAMPLE}") from error
        if problems:
            raise StartError("; ".join(f"{self.path}, {problem}" for problem in problems))
        if not users:
            raise StartError(f"the users file {self.path} names nobody; a line is {_EXAMPLE}")
        self._users = {user.key: user for user in users}

    @property
    def users(self) -> Sequence[User]:
        """Everybody who may come in now; nobody while the file cannot be read."""
        try:
            seen = self._look()
            if seen != self._seen:
                users, problems = read_users(self.path.read_text(encoding="utf-8"))
                self._users, self._seen = {user.key: user for user in users}, seen
                log.info("ssh_users_read", path=str(self.path), users=len(users))
                for problem in problems:
                    log.error("ssh_users_line_refused", path=str(self.path), problem=problem)
        except (OSError, ValueError) as error:
            if self._seen is not None or self._users:
                log.error("ssh_users_unreadable", path=str(self.path), reason=_why(error))
            self._users, self._seen = {}, None
        return list(self._users.values())

    def find(self, key: bytes) -> User | None:
        """Return who holds a public key, None if nobody does now."""
        return next((user for user in self.users if user.key == key), None)

    def _look(self) -> tuple[int, ...]:
        status = self.path.stat()
        if status.st_mode & _OTHERS_MAY_WRITE:
            raise ValueError("others than its owner may write to it (chmod go-w)")
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode


def _read_line(line: str) -> User:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"is not of the form {_EXAMPLE}")
    pairs = [pair.partition("=") for pair in re.findall(_OPTION, found["options"])]
    options = {name: value.strip('"') for name, _, value in pairs}
    if len(options) != len(pairs) or options.keys() != _OPTIONS:
        raise ValueError(
            f"has the options {_listed(name for name, _, _ in pairs)}; name and role are needed, once each"
        )
    role = next((role for role in ROLES if role == options["role"]), None)
    if role is None:
        raise ValueError(f"the role is not one of {_listed(ROLES)}")
    if not _NAME.fullmatch(options["name"]):
        raise ValueError("the name has other characters than letters, digits and . _ @ -, or more than 64")
    try:
        key = asyncssh.import_public_key(found["key"])
    except (asyncssh.KeyImportError, ValueError):
        raise ValueError("the key is not a public key in OpenSSH's format") from None
    if key.get_algorithm().startswith("ssh-dss") or _rsa_bits(key) < _LEAST_RSA_BITS:
        raise ValueError(f"the key is too weak: Ed25519, ECDSA, or RSA with {_LEAST_RSA_BITS} bits")
    return User(options["name"], role, key.get_fingerprint(), key.public_data)


def _rsa_bits(key: asyncssh.SSHKey) -> int:
    if key.get_algorithm() != "ssh-rsa":
        return _LEAST_RSA_BITS
    public = key.pyca_key
    return int(getattr(public, "key_size", 0))


def _listed(names: object) -> str:
    return ", ".join(map(str, names))  # type: ignore[call-overload]  # any iterable of names


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
