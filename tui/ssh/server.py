"""The SSH server put together: the users, the host key, the trail, a listener, and how it stops."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import asyncssh

from kit.audit.settings import AuditSettings
from kit.lifecycle import Shutdown, StartError, blaming
from kit.settings import CoreSettings, TlsSettings, load
from kit.settings.address import split_address
from kit.telemetry import logs
from tui.connection import Connection
from tui.settings import ConsoleSettings
from tui.ssh.door import Door
from tui.ssh.environment import site_variables
from tui.ssh.host_key import open_host_key
from tui.ssh.house import SshHouse
from tui.ssh.role_keys import role_key
from tui.ssh.settings import ROLES, SshSettings
from tui.ssh.trail import open_ssh_trail
from tui.ssh.users import UsersFile

_OLD = "*sha1*"
_KEEPALIVE_SECONDS, _KEEPALIVES = 15, 3

log = logs.get()


@asynccontextmanager
async def open_ssh(
    core: CoreSettings,
    settings: SshSettings,
    console: ConsoleSettings,
    tls: TlsSettings,
    audit: AuditSettings,
    own: Callable[[], Connection],
) -> AsyncIterator[str]:
    """Serve the console over SSH for the block; yields the address, `host:port`.

    Raises:
        StartError: the users file or the host key is not as it must be, a role has no key, or the address is taken.
    """
    with blaming("CONSOLE_SSH_HOST_KEY_FILE"):
        host_key = open_host_key(settings.host_key_file or core.agent_data_dir / "console_ssh_host_key")
    users = UsersFile(settings.users_file or core.agent_data_dir / "console_ssh_users")
    with blaming("CONSOLE_SSH_USERS_FILE"):
        users.open()
    for role in ROLES:
        named = [user.name for user in users.users if user.role == role]
        if named and role_key(role, own) is None:
            raise StartError(f"CONSOLE_SSH_{role.upper()}_KEY: is needed for {', '.join(named)}")
    async with AsyncExitStack() as stack:
        trail = await stack.enter_async_context(open_ssh_trail(own().target, role_key("operator", own), audit))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        house = SshHouse(settings, site_variables(console, tls), users, trail, own, tasks)
        with blaming("CONSOLE_SSH_LISTEN"):
            listener = await _listen(settings, host_key, house)
        looking_after = tasks.create_task(house.look_after(), name="ssh.look_after")
        address = f"{settings.listen.rpartition(':')[0]}:{listener.get_port()}"
        _introduce(address, host_key.get_fingerprint(), users)
        try:
            yield address
        finally:
            listener.close()
            await house.close()
            looking_after.cancel()
            await listener.wait_closed()


async def serve(shutdown: Shutdown, own: Callable[[], Connection]) -> None:
    """Serve until the process is asked to stop."""
    core, settings, console, tls, audit = load(CoreSettings, SshSettings, ConsoleSettings, TlsSettings, AuditSettings)
    async with open_ssh(core, settings, console, tls, audit, own):
        await shutdown.requested.wait()
        shutdown.draining.set()


async def _listen(settings: SshSettings, host_key: asyncssh.SSHKey, house: SshHouse) -> asyncssh.SSHAcceptor:
    asyncssh.set_log_level("ERROR")  # the trail tells of logins; asyncssh would tell of every channel
    host, port = split_address(settings.listen)
    try:
        return await asyncssh.create_server(
            partial(Door, house),
            host,
            port,
            server_host_keys=[host_key],
            process_factory=house.begin,
            encoding=None,
            line_editor=False,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            agent_forwarding=False,
            x11_forwarding=False,
            allow_scp=False,
            sftp_factory=None,
            kex_algs=f"-{_OLD},gss-*,rsa*",
            mac_algs=f"-{_OLD}",
            signature_algs="-ssh-rsa,*@ssh.com",
            compression_algs=["zlib@openssh.com", "none"],  # only after login
            login_timeout=settings.login_grace_seconds,
            keepalive_interval=_KEEPALIVE_SECONDS,
            keepalive_count_max=_KEEPALIVES,
            server_version="agent-console",
        )
    except OSError as error:
        raise StartError(f"cannot listen on {settings.listen}: {error.strerror or error}") from error


def _introduce(address: str, fingerprint: str, users: UsersFile) -> None:
    log.info("ssh_serving", address=address, host_key=fingerprint, users_file=str(users.path), users=len(users.users))
    sentences = (
        f"agent-console over SSH at {address}",
        f"host key    {fingerprint}",
        f"users file  {users.path}, {len(users.users)} keys",
    )
    print("\n".join(sentences), file=sys.stderr, flush=True)
