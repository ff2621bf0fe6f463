"""What the audit trail says about the console over SSH: who came in, who did not, and what they ran."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kit.audit.decision import AuditSink, Decision, NoTrail, Outcome
from kit.audit.remote import RemoteWriter
from kit.audit.settings import AuditSettings
from kit.audit.trail import open_trail
from kit.auth.principal import DEFAULT_TENANT
from kit.clock import now
from kit.rpc.client import open_channel
from kit.telemetry import logs
from tui.clean import clean
from tui.ssh.users import User

_METHOD = "SSH"
_LOGIN = "ssh.login"

log = logs.get()


class SshTrail:
    """Tells of logins and sessions: a line in the log, and a row in the trail.

    Args:
        sink: keeps the rows.
    """

    def __init__(self, sink: AuditSink) -> None:
        self._sink = sink

    def came_in(self, user: User, login: str, address: str) -> None:
        """Somebody has logged in."""
        self._tell("allow", _LOGIN, user.name, f"{user.role}, as {login} from {address} with {user.fingerprint}")

    def kept_out(self, login: str, address: str, reason: str) -> None:
        """Somebody has shown keys and was not let in; a login name is only what they say."""
        self._tell("deny", _LOGIN, "", f"{reason}; as {login} from {address}")

    def ran(self, user: User, what: str) -> None:
        """Somebody has opened the console, or runs a command."""
        self._tell("allow", f"ssh.{what}", user.name, user.role)

    def refused(self, user: User, what: str, reason: str) -> None:
        """Somebody wanted what there is not, or may not."""
        self._tell("deny", f"ssh.{what}", user.name, reason)

    def _tell(self, outcome: Outcome, endpoint: str, name: str, reason: str) -> None:
        decision = Decision(
            outcome,
            endpoint=clean(endpoint),
            method=_METHOD,
            subject=f"ssh:{name}" if name else "unknown",
            auth_type="publickey",
            reason=clean(reason),
            tenant_id=DEFAULT_TENANT,
            time=now(),
            weight="admin",
        )
        if outcome == "deny":
            log.warning("security_audit_deny", **decision.log_fields())
        else:
            log.info("security_audit_allow", **decision.log_fields())
        self._sink.record(decision)


@asynccontextmanager
async def open_ssh_trail(target: str, key: str | None, settings: AuditSettings) -> AsyncIterator[SshTrail]:
    """Write to the installation's trail, through the gateway, for the block.

    Args:
        target: the gateway.
        key: an operator's key; without one the log alone tells.
        settings: of the trail.
    """
    if key is None:
        log.warning("ssh_audit_only_in_log", reason="no operator's key")
        yield SshTrail(NoTrail())
        return
    async with open_channel(target, api_key=key) as channel, open_trail(RemoteWriter([channel]), settings) as sink:
        yield SshTrail(sink)
