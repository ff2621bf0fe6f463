"""What a child process finds in its environment: nothing of the server's but what it needs, one key among it."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kit.settings import TlsSettings
from tui.settings import ConsoleSettings

WORKING_DIRECTORY = "/"
"""Where children run: a `.env` in the server's own directory is not for them."""

_TERMINAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_PASSED_ON = ("PYTHONPATH",)
"""Variables that say where the program itself is."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a child."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


def site_variables(console: ConsoleSettings, tls: TlsSettings) -> Mapping[str, str]:
    """Return what every child finds: colours and the like, the way to the gateway, where the program is.

    Files are named absolutely: children run elsewhere.
    """
    files = {"CERT_FILE": tls.cert_file, "KEY_FILE": tls.key_file, "CA_FILE": tls.ca_file}
    variables = {name: value for name in _PASSED_ON if (value := os.environ.get(name))}
    variables |= {
        "AGENT_CONSOLE_THEME": console.theme,
        "AGENT_CONSOLE_GLYPHS": console.glyphs,
        "AGENT_CONSOLE_MOUSE": str(console.mouse).lower(),
        "AGENT_CONSOLE_MAX_HZ": str(console.max_hz),
        "GRPC_TLS_ENABLED": str(tls.on).lower(),
        "GRPC_TLS_SERVER_NAME": tls.server_name,
    }
    return variables | {f"GRPC_TLS_{name}": str(path.absolute()) for name, path in files.items() if path is not None}


def launch_of(
    arguments: Sequence[str],
    *,
    target: str,
    key: str,
    person: str,
    terminal: str | None,
    language: str,
    site: Mapping[str, str],
) -> Launch:
    """Say how to start the console for somebody.

    Args:
        arguments: of `agent-console`.
        target: the gateway.
        key: the key of the person's role. It stands in the child's environment, which only the server's own account
            can read, and not among the arguments, which everybody on the machine can.
        person: who works there, for the audit trail.
        terminal: TERM as the client says it, None without a terminal.
        language: LANG as the client says it, empty if it does not.
        site: what is the same for everybody, see `site_variables`.
    """
    plain = bool(language) and "utf" not in language.lower()
    environment = {
        **site,
        "LANG": "C.UTF-8",  # the client's own may not be installed here; only its characters count
        "GATEWAY_TARGET": target,
        "SERVICE_API_KEYS": key,
        "AGENT_CONSOLE_OPERATOR": person,
    }
    if plain:
        environment["AGENT_CONSOLE_GLYPHS"] = "ascii"
    if terminal is not None:
        environment["TERM"] = terminal if _TERMINAL.fullmatch(terminal) else "xterm-256color"
    return Launch((sys.executable, "-P", "-m", "tui.ssh.child", *arguments), environment)
