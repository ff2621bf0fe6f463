"""`python -m services.stt`: the stt room as a process."""

from kit.lifecycle import leave, run
from services.stt.app import ROOM, main

if __name__ == "__main__":
    leave(run(ROOM, main))
