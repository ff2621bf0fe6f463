"""A database cluster on disk: where it lies, who owns it now, its password, its first initialisation."""

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kit.db.account import Account
from kit.db.binaries import MAJOR
from kit.lifecycle import StartError

SUPERUSER = "agent"
_SOCKET_PATH_BYTES = 107
_LEFTOVER_SECONDS = 30.0
_INITDB_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """`home` holds `data` (the account's), `run` (the socket), `password`, `owner.lock` and `server.log`."""

    home: Path
    account: Account

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server writes to its standard error."""
        return self.home / "server.log"

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Be the cluster's owner for the block.

        Raises:
            StartError: somebody is already.
        """
        descriptor = os.open(self.home / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.read(descriptor, 32).decode() or "unknown"
                raise StartError(
                    f"the database in {self.home} is in use by process {owner}: "
                    "stop that one first, or choose another AGENT_DATA_DIR"
                ) from None
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        finally:
            os.close(descriptor)

    def password(self) -> str:
        """Return the superuser's password, made at the first start.

        Raises:
            StartError: there is a cluster but its password is gone.
        """
        file = self.home / "password"
        with suppress(FileNotFoundError):
            return file.read_text()
        if self.data.exists():
            raise StartError(f"the password of the database in {self.home} is gone: restore {file}")
        fresh = file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
            output.write(secrets.token_urlsafe(24))
            output.flush()
            os.fsync(output.fileno())
        fresh.rename(file)
        _sync_directory(self.home)
        return file.read_text()

    def initialise(self, binaries: Path, password: str) -> None:
        """Make the cluster unless it is there; a half-made one never bears its name.

        Raises:
            StartError: initdb failed, or the cluster is of another major version.
        """
        if self.data.exists():
            version = (self.data / "PG_VERSION").read_text().strip()
            if version != MAJOR:
                raise StartError(f"the database in {self.data} is of PostgreSQL {version}, this program has {MAJOR}")
            return
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self.account.give(fresh)
        self._initdb(binaries, fresh, password)
        fresh.rename(self.data)
        _sync_directory(self.home)

    def socket_directory(self) -> Path:
        """Return a private directory for the socket, whose path must be short; `home/run` is it or leads to it."""
        run = self.home / "run"
        if len(os.fsencode(run / ".s.PGSQL.65535")) <= _SOCKET_PATH_BYTES:
            run.mkdir(mode=0o700, exist_ok=True)
            self.account.give(run)
            return run
        if run.is_symlink():
            with suppress(FileNotFoundError):
                kept = run.readlink().lstat()
                if kept.st_uid == self.account.uid and kept.st_mode == 0o40700:
                    return run.readlink()
            run.unlink()
        short = Path(tempfile.mkdtemp(prefix="agent-pg-", dir="/tmp"))
        self.account.give(short)
        run.symlink_to(short)
        return short

    def remove_socket_directory(self) -> None:
        """Remove the short directory of a long home; the server has gone."""
        run = self.home / "run"
        if run.is_symlink():
            with suppress(OSError):
                run.readlink().rmdir()
            run.unlink()

    def end_leftovers(self) -> None:
        """See to it that no server runs over the data, then remove a stale `postmaster.pid`.

        The pid in that file may be anybody's by now, so the file is not believed: what counts is which processes
        stand in the data directory. Only for the owner, so whatever runs there has lost its owner.

        Raises:
            StartError: a server is there and does not end.
        """
        pid_file = self.data / "postmaster.pid"
        deadline = time.monotonic() + _LEFTOVER_SECONDS
        asked = False
        while left := self._servers():
            if time.monotonic() > deadline:
                raise StartError(f"an old server still runs in {self.data} (processes {left}): end it first")
            if not asked:
                postmaster = _first_line(pid_file)
                for pid in left:
                    _send(pid, signal.SIGINT if str(pid) == postmaster else signal.SIGTERM)
                asked = True
            time.sleep(0.05)
        pid_file.unlink(missing_ok=True)

    def _servers(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    name = (entry / "exe").readlink().name.removesuffix(" (deleted)")
                    if name == "postgres" and (entry / "cwd").readlink() == self.data:
                        found.append(int(entry.name))
        return found

    def _initdb(self, binaries: Path, directory: Path, password: str) -> None:
        # The password goes through memory: a file would have to be readable for the account for a moment.
        memory = os.memfd_create("password")
        try:
            os.write(memory, password.encode())
            done = subprocess.run(
                [
                    binaries / "initdb", "-D", directory, "-U", SUPERUSER, f"--pwfile=/proc/self/fd/{memory}",
                    "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions",
                    # The wheel has no ICU and LC_ALL=C alone would leave Cyrillic unfolded.
                    "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
                ],
                cwd="/", env=server_environment(), pass_fds=(memory,), capture_output=True, text=True,
                timeout=_INITDB_SECONDS, check=False, **self.account.identity,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise StartError(f"initdb did not finish within {error.timeout:g} s in {directory}") from None
        finally:
            os.close(memory)
        if done.returncode:
            raise StartError(f"initdb failed in {directory}:\n{(done.stdout + done.stderr)[-2000:].strip()}")


def locate_home(root: Path) -> Path:
    """Return the home that `root` has already, or where one would be.

    Raises:
        StartError: `root` links to a home that is gone.
    """
    home = root / "postgresql"
    if home.is_symlink() and not home.exists():
        raise StartError(f"{home} leads to {home.readlink()}, which is gone: restore it, or remove the link")
    return home.resolve()


def place_home(root: Path, account: Account, system_home: Path) -> Path:
    """Make the cluster's home, `root/postgresql`; a link into `system_home` when the account cannot get there.

    The link names a directory of its own, so a data directory that was removed and made again starts empty, and one
    that was moved keeps its database.

    Raises:
        StartError: there is a home, but the account can no longer get there.
    """
    home = root / "postgresql"
    if not home.exists():
        if account.reaches(root):
            # The account passes through; what it may not read is closed file by file.
            home.mkdir(mode=0o711 if account.switched else 0o700, exist_ok=True)
        else:
            system_home.mkdir(mode=0o755, parents=True, exist_ok=True)
            digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]
            target = Path(tempfile.mkdtemp(prefix=f"{digest}-", dir=system_home))
            target.chmod(0o711)
            try:
                home.symlink_to(target)
            except FileExistsError:
                target.rmdir()
    home = home.resolve()
    if not account.reaches(home):
        raise StartError(
            f"user {account.uid}, who runs PostgreSQL, cannot reach {home}: let it pass the directories above"
        )
    return home


def server_environment() -> dict[str, str]:
    """The environment of the server's processes: none of ours, which holds keys and PG* variables."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _first_line(file: Path) -> str:
    with suppress(OSError):
        return file.read_text(errors="replace").partition("\n")[0].strip()
    return ""


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
