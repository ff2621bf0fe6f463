"""`python -m services.connector`: the connector room as a process."""

import sys

from kit.lifecycle import run
from services.connector.app import ROOM, main

if __name__ == "__main__":
    sys.exit(run(ROOM, main))
