"""`python -m gateway`: the gateway room as a process."""

import kit.lifecycle  # first of all: it settles gRPC's event engine before gateway imports gRPC
from gateway.app import ROOM, main

if __name__ == "__main__":
    kit.lifecycle.leave(kit.lifecycle.run(ROOM, main))
