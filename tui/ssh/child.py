"""The console as a session's child process: the terminal that it got is its own, and it does not outlive the server."""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import termios

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the command line of `agent-console`, as if it had been started by that name."""
    with contextlib.suppress(OSError, AttributeError):  # Linux only; elsewhere it ends when it next writes
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.isatty(0):
        with contextlib.suppress(OSError):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that it hears of new sizes, and of the end of its terminal
    import kit  # noqa: F401 - first: gRPC reads its switches when it is imported, and must not write over the screen
    from tui.cli import app

    sys.argv[0] = "agent-console"
    app(prog_name="agent-console")


if __name__ == "__main__":
    main()
