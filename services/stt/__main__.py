"""`python -m services.stt`: the stt room as a process."""

import sys

from kit.lifecycle import run
from services.stt.app import ROOM, main

if __name__ == "__main__":
    sys.exit(run(ROOM, main))
