"""Settings of `agent-console serve-ssh`: CONSOLE_SSH_*."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kit.settings import Address, Section

Role = Literal["operator", "viewer"]
ROLES: tuple[Role, ...] = ("operator", "viewer")


class SshSettings(Section):
    """The console over SSH: `agent-console serve-ssh`."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_SSH_")

    listen: Address = "127.0.0.1:2222"
    """Address of the SSH server."""
    users_file: Path | None = None
    """Who may come in, as lines of authorized_keys with a name and a role; `console_ssh_users` in AGENT_DATA_DIR if
    unset."""
    host_key_file: Path | None = None
    """The server's private key in OpenSSH's format, made at the first start; `console_ssh_host_key` in AGENT_DATA_DIR
    if unset."""
    operator_key: SecretStr | None = None
    """Service key, or service's token, of operators' sessions and of the server's own lines in the audit trail; unset:
    the one that `agent-console` itself takes here. A file is read anew for each session."""
    viewer_key: SecretStr | None = None
    """Service key, or service's token, of viewers' sessions: one of SERVICE_READ_API_KEYS, or with the reading scope
    alone. Without it no viewer gets in."""
    sessions: Annotated[int, Field(ge=1, le=500)] = 20
    """Sessions at once; a full screen takes about 65 MB."""
    idle_minutes: Annotated[float, Field(ge=0, le=10_080)] = 60.0
    """Minutes without a key after which a terminal is closed; 0 never closes one."""
    login_grace_seconds: Annotated[float, Field(ge=1, le=600)] = 20.0
    """Time for logging in, and for opening a session after that."""
