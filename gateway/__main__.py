"""`python -m gateway`: the gateway room as a process."""

import sys

from gateway.app import ROOM, main
from kit.lifecycle import run

if __name__ == "__main__":
    sys.exit(run(ROOM, main))
