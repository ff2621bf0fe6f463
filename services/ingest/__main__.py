"""`python -m services.ingest`: the ingest room as a process."""

from kit.lifecycle import leave, run
from services.ingest.app import ROOM, main

if __name__ == "__main__":
    leave(run(ROOM, main))
