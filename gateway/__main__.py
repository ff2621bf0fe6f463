"""`python -m gateway`: the gateway room as a process."""

import sys

import kit.lifecycle  # first of all: it settles gRPC's event engine before gateway imports gRPC
from gateway.app import ROOM, main

if __name__ == "__main__":
    sys.exit(kit.lifecycle.run(ROOM, main))
