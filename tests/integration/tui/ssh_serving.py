"""`agent-console serve-ssh` as a process, in front of a real gateway whose rooms keep a real trail."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
from pydantic import SecretStr

from kit.audit.auditing import Auditing
from kit.audit.chain import ChainedDecision
from kit.audit.decision import Decision
from kit.audit.origin import Origins
from kit.audit.settings import AuditSettings
from kit.ops.sources import AuditQuestion, OpsSources
from tests.integration.gateway.scripted import SERVICE_KEY, Mesh, running_mesh
from tests.integration.gateway.test_admin import Jobs
from tests.integration.gateway.test_console_actions import VIEWER_KEY, Callers
from tests.integration.tui.test_cli import environment
from tests.kit_server import eventually

ROLES = {"ana": "operator", "vera": "viewer"}


@dataclass(frozen=True)
class SshConsole:
    """A server, and the keys of everybody."""

    process: asyncio.subprocess.Process
    port: int
    fingerprint: str
    directory: Path

    def login(self, name: str, *, login: str = "ops", **more: Any) -> Any:
        """Connect with somebody's key."""
        return asyncssh.connect(
            "127.0.0.1",
            self.port,
            username=login,
            client_keys=[str(self.directory / name)],
            known_hosts=None,
            config=None,
            agent_path=None,
            **more,
        )

    async def run(self, name: str, command: str) -> tuple[int | None, str, str]:
        """Log in and run one command; returns exit code, standard output, standard error."""
        async with self.login(name) as connection, asyncio.timeout(60):
            done = await connection.run(command)
            return done.exit_status, str(done.stdout), str(done.stderr)

    @property
    def children(self) -> list[int]:
        """Processes of the sessions."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in listed.split()]


def user_line(directory: Path, name: str) -> str:
    """Make a key for somebody, if there is none, and return their line of the users file."""
    if not (directory / name).exists():
        key = asyncssh.generate_private_key("ssh-ed25519", comment=name)
        key.write_private_key(directory / name)
        key.write_public_key(directory / f"{name}.pub")
        (directory / name).chmod(0o600)
    public = (directory / f"{name}.pub").read_text().strip()
    return f'name="{name}",role="{ROLES.get(name, "viewer")}" {public}\n'


@asynccontextmanager
async def serving(directory: Path, target: str, **variables: str) -> AsyncIterator[SshConsole]:
    """Serve for the block; the keyword arguments are variables of the server."""
    (directory / "console_ssh_users").write_text(
        "# who may come in\n" + "".join(user_line(directory, name) for name in ROLES)
    )
    user_line(directory, "mallory")
    given: Mapping[str, str] = {
        "GATEWAY_TARGET": target,
        "CONSOLE_SSH_LISTEN": "127.0.0.1:0",
        "CONSOLE_SSH_OPERATOR_KEY": SERVICE_KEY,
        "CONSOLE_SSH_VIEWER_KEY": VIEWER_KEY,
        "SECRET_OF_THE_SERVER": "not for children",
        **variables,
    }
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tui",
            "serve-ssh",
            cwd=directory,
            env=environment(directory, **given),
            stdout=log,
            stderr=asyncio.subprocess.PIPE,
        )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(30):
            said = [(await process.stderr.readline()).decode() for _ in range(3)]
        assert "users file" in said[2], (said, (directory / "log").read_text())
        port = int(said[0].rpartition(":")[2])
        yield SshConsole(process, port, said[1].split()[-1], directory)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Trail:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    async def page(self, question: AuditQuestion, before: int | None, limit: int) -> Sequence[ChainedDecision]:
        return ()

    async def append(self, decisions: Sequence[Decision]) -> None:
        self.decisions += decisions

    async def told(self, endpoint: str, outcome: str, subject: str) -> str:
        """Wait for a decision and return its reason."""
        wanted = (endpoint, outcome, subject)

        def found() -> list[str]:
            return [one.reason for one in self.decisions if (one.endpoint, one.outcome, one.subject) == wanted]

        try:
            await eventually(lambda: bool(found()), 20)
        except TimeoutError:
            raise AssertionError(f"{wanted} is not in {self.decisions}") from None
        return found()[0]


@dataclass(frozen=True)
class AuditedMesh:
    """A mesh whose report room has the dead letters j1 to j5 and keeps the trail."""

    mesh: Mesh
    jobs: Jobs
    trail: Trail

    @property
    def target(self) -> str:
        """The gateway."""
        return self.mesh.gateway.room.server.address


@asynccontextmanager
async def audited_mesh() -> AsyncIterator[AuditedMesh]:
    """Run the mesh for the block."""
    auditing = Auditing(AuditSettings(), Origins([SecretStr(SERVICE_KEY)]))
    jobs, trail = Jobs(), Trail()
    sources = {"report": OpsSources(jobs=jobs, audit=trail)}
    async with running_mesh(Callers(), sources=sources, auditing=auditing) as mesh:
        yield AuditedMesh(mesh, jobs, trail)


def alive(process_id: int) -> bool:
    """Whether a process runs."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
