"""`python -m services.connector`: the connector room as a process."""

from kit.lifecycle import leave, run
from services.connector.app import ROOM, main

if __name__ == "__main__":
    leave(run(ROOM, main))
