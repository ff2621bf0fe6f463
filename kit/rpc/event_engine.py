"""gRPC's event engine: off unless GRPC_EVENT_ENGINE asks for it.

Measured on grpcio 1.85, a stream message costs the server 1.5 to 2 times the processor time with the event
engine. gRPC reads the choice when it is first imported; later changes do nothing.
"""

import os
import sys
from pathlib import Path

VARIABLE = "GRPC_EVENT_ENGINE"
_OFF = "-event_engine_client,-event_engine_listener"
_outcome: list[bool] = []  # of the first call; the choice is the process's and cannot be taken twice
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})


def apply() -> bool:
    """Set GRPC_EXPERIMENTS for this process and its children; gRPC's own lines on stderr and its fork handlers go too.

    Returns:
        False when gRPC was imported before, so that nothing can change in this process.
    """
    if not _outcome:
        _outcome.append("grpc" not in sys.modules)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        # Otherwise a child of ours wakes gRPC's threads between fork and exec, and one in fifty aborts there.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        experiments = os.environ.get("GRPC_EXPERIMENTS", "")
        if not _wanted() and "event_engine" not in experiments:
            os.environ["GRPC_EXPERIMENTS"] = f"{experiments},{_OFF}" if experiments else _OFF
    return _outcome[0]


def _wanted() -> bool:
    value = os.environ.get(VARIABLE)
    if not value and Path(".env").is_file():
        from dotenv import dotenv_values  # only programs with an .env pay for this import

        value = dotenv_values(".env").get(VARIABLE)
    return (value or "").strip().lower() in _TRUE
