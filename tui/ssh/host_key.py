"""The server's own key: made at the first start, readable by its owner only."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

import asyncssh

from kit.lifecycle import StartError

_OTHERS = 0o077


def open_host_key(path: Path) -> asyncssh.SSHKey:
    """Return the key in the file; make one if there is none.

    Raises:
        StartError: the file cannot be read or written, holds no key, or is open to others.
    """
    try:
        if not path.exists():
            _make(path)
        mode = path.stat().st_mode & 0o777
        key = asyncssh.read_private_key(path)
    except OSError as error:
        raise StartError(f"cannot read or make the host key {path}: {error.strerror}") from error
    except asyncssh.KeyImportError as error:
        raise StartError(f"{path} holds no private key in OpenSSH's format, or one with a passphrase") from error
    if mode & _OTHERS:
        raise StartError(f"the host key {path} is open to others (mode {mode:04o}); chmod 600 {path}")
    return key


def _make(path: Path) -> None:
    """Write a new key in one step: two servers that start together take the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = asyncssh.generate_private_key("ssh-ed25519", comment="agent-console")
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as written:  # mode 0600
        written.write(key.export_private_key())
        written.flush()
        os.fsync(written.fileno())
        try:
            os.link(written.name, path)
        except FileExistsError:
            return
