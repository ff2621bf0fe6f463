"""`python -m bench.durable.unsynced`: the ingest room whose journals are written and never synced.

The room itself has no such switch, and must not have one. Here the system call is taken away from under it.
"""

import os

from kit.lifecycle import leave, run


def _pretend(fd: object) -> None:
    """Say that everything is on disk."""


if __name__ == "__main__":
    os.fdatasync = _pretend
    os.fsync = _pretend
    from services.ingest.app import ROOM, main

    leave(run(ROOM, main))
