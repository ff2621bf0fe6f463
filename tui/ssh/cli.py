"""The command that serves the console over SSH."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import typer

from tui.connection import Connection

EXTRA = "interview-analytics-agent[console-ssh]"


def add_serving(
    app: typer.Typer, find: Callable[[typer.Context], Callable[[], Connection]], refuse: Callable[[str], Any]
) -> None:
    """Add the command.

    Args:
        app: the command line.
        find: returns what settles where to connect, now and whenever it is called.
        refuse: ends the program for wrong usage.
    """

    @app.command(
        "serve-ssh",
        epilog="[bold]Example[/]\n\n"
        'echo "name=\\"ana\\",role=\\"operator\\" $(cat ~/.ssh/id_ed25519.pub)" > data/console_ssh_users\n\n'
        "agent-console serve-ssh\n\n"
        "ssh -p 2222 ops@127.0.0.1\n\n"
        "ssh -p 2222 ops@127.0.0.1 sessions --json\n\n"
        "[bold]Settings[/]  CONSOLE_SSH_LISTEN (127.0.0.1:2222), CONSOLE_SSH_USERS_FILE, CONSOLE_SSH_HOST_KEY_FILE, "
        "CONSOLE_SSH_OPERATOR_KEY, CONSOLE_SSH_VIEWER_KEY, CONSOLE_SSH_SESSIONS, CONSOLE_SSH_IDLE_MINUTES, "
        "CONSOLE_SSH_LOGIN_GRACE_SECONDS; docs/operations/console-ssh.md says more.",
    )
    def serve_ssh(context: typer.Context) -> None:
        """Serve this console over SSH, to people whose keys are in a file, until Ctrl-C.

        They get the full screen, or one of the commands on a list; no shell, no files, no forwarding. Each session is a
        process of its own with the key of the person's role, and each login and command is in the audit trail.
        """
        if importlib.util.find_spec("asyncssh") is None:
            refuse(f"serve-ssh needs asyncssh, which is not installed: pip install '{EXTRA}'")
        from kit.lifecycle import leave, run
        from tui.ssh.server import serve

        leave(run("console-ssh", partial(serve, own=find(context))))
