"""`python -m services.report`: the report room as a process."""

import sys

from kit.lifecycle import run
from services.report.app import ROOM, main

if __name__ == "__main__":
    sys.exit(run(ROOM, main))
