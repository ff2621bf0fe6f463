"""The account that PostgreSQL runs under: ours, or a system user when we are root, as whom it refuses to run."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from kit.lifecycle import StartError

SYSTEM_USER = "interview-agent"


class Identity(TypedDict, total=False):
    """The arguments of `subprocess` that make a child run as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server and owns its files; `switched` when that is not who we are."""

    uid: int
    gid: int
    switched: bool

    @property
    def identity(self) -> Identity:
        """What `subprocess` needs to start a child as this account."""
        return Identity(user=self.uid, group=self.gid, extra_groups=[]) if self.switched else Identity()

    def give(self, path: Path) -> None:
        """Make a file or directory that we created the account's."""
        if self.switched:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def reaches(self, directory: Path) -> bool:
        """Whether the account can enter `directory` through everything above it, access lists included."""
        if not self.switched:
            return os.access(directory, os.X_OK)
        arguments = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(directory)]
        return subprocess.run(arguments, cwd="/", timeout=10, check=False, **self.identity).returncode == 0


def account_for(data: Path) -> Account:
    """Choose who runs the server over the cluster in `data`: its owner, or for a new one us, or root's stand-in.

    Raises:
        StartError: the cluster belongs to somebody else, or root has no system user to run the server as.
    """
    ours = os.geteuid()
    owner = data.stat() if data.exists() else None
    if ours == 0:
        if owner is not None and owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid, switched=True)
        entry = _system_user()
        return Account(entry.pw_uid, entry.pw_gid, switched=True)
    if owner is not None and owner.st_uid != ours:
        raise StartError(f"the database in {data} belongs to user {owner.st_uid}: run as that user or as root")
    return Account(ours, os.getegid(), switched=False)


def _system_user() -> pwd.struct_passwd:
    problem = ""
    for attempt in range(2):
        try:
            return pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            problem = problem if attempt else _add_system_user()
    raise StartError(
        f"PostgreSQL does not run as root and the system user {SYSTEM_USER} cannot be made ({problem}): "
        "make it, run as another user, or set DATABASE_URL"
    )


def _add_system_user() -> str:
    """Add the user; returns what went wrong, also when somebody else was faster."""
    arguments = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    try:
        done = subprocess.run(
            [*arguments, "--shell", "/usr/sbin/nologin", SYSTEM_USER],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip()
