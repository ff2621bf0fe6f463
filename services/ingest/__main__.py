"""`python -m services.ingest`: the ingest room as a process."""

import sys

from kit.lifecycle import run
from services.ingest.app import ROOM, main

if __name__ == "__main__":
    sys.exit(run(ROOM, main))
