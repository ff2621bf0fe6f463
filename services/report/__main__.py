"""`python -m services.report`: the report room as a process."""

from kit.lifecycle import leave, run
from services.report.app import ROOM, main

if __name__ == "__main__":
    leave(run(ROOM, main))
