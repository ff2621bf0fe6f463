"""A certified provider (npm `oidc-provider`) and a real room: found by discovery, keys changed while it serves."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx2
import pytest

from agent.console.v1 import console_service_pb2 as console
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceStub
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from kit.auth.authenticator import make_authenticator
from kit.settings import AuthSettings, CoreSettings
from tests.contract.access.everything import serving_everything
from tests.kit_server import eventually

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
MODULES = HERE.parents[2] / "build" / "oidc-provider"
VERSION = "9.13.3"
SECRET = "a-client-secret-of-the-tests-0123456789"


@pytest.fixture(scope="module")
def modules() -> Path:
    """The directory with the provider's package; installed once."""
    if not (MODULES / "node_modules" / "oidc-provider" / "package.json").exists():
        MODULES.mkdir(parents=True, exist_ok=True)
        package = f"oidc-provider@{VERSION}"
        subprocess.run(
            ["npm", "install", "--prefix", str(MODULES), "--no-audit", "--no-fund", package], check=True, timeout=100
        )
    return MODULES


@asynccontextmanager
async def running_provider(modules: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the provider for the block; gives a client whose base address is the issuer."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / "provider.mjs"),
        str(modules),
        stdin=asyncio.subprocess.PIPE,  # its end is the provider's
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        async with asyncio.timeout(30):
            issuer = (await process.stdout.readline()).decode().strip()
        async with httpx2.AsyncClient(base_url=issuer, timeout=20) as client:
            yield client
    finally:
        process.stdin.close()
        async with asyncio.timeout(20):
            await process.wait()


async def token(provider: httpx2.AsyncClient, client: str, scope: str = "") -> str:
    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    answer = await provider.post("/token", data=form, auth=(client, SECRET))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def codes(channel: grpc.aio.Channel, shown: str) -> tuple[grpc.StatusCode, grpc.StatusCode]:
    """Return what a bearer's call of a person's RPC and of an operator's RPC end with."""
    metadata = (("authorization", f"Bearer {shown}"),)
    listing = MeetingServiceStub(channel).ListMeetings(meetings.ListMeetingsRequest(), metadata=metadata, timeout=20)
    watching = ConsoleServiceStub(channel).WatchConsole(console.WatchConsoleRequest(), metadata=metadata, timeout=20)
    return await listing.code(), await watching.code()


IN, DENIED, UNKNOWN = (
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
)


async def test_people_and_services_of_a_real_provider_while_its_keys_change(modules: Path):
    async with running_provider(modules) as provider:
        settings = AuthSettings(
            auth_mode="jwt",
            oidc_issuer_url=str(provider.base_url),
            oidc_audience="interview-agent",
            oidc_keys_pause_seconds=0.2,
            jwt_service_claim_values="service",
            tenant_enforcement_enabled=True,
            mesh_shared_secret="what-only-the-rooms-of-a-mesh-do-know",
        )
        auth = make_authenticator(settings, CoreSettings())
        async with serving_everything(auth) as server, grpc.aio.insecure_channel(server.address) as channel:
            anna = await token(provider, "anna")
            robot = await token(provider, "robot", "agent.admin.read agent.admin.write")
            assert await codes(channel, anna) == (IN, DENIED)
            assert await codes(channel, robot) == (IN, IN)
            assert await codes(channel, await token(provider, "robot", "agent.admin.read")) == (DENIED, IN)
            assert await codes(channel, await token(provider, "robot")) == (IN, DENIED)

            await provider.post("/rotate?keep")
            later = await token(provider, "anna")
            assert later.partition(".")[0] != anna.partition(".")[0], "another key"

            async def both_are_taken() -> bool:
                return await codes(channel, later) == (IN, DENIED) and await codes(channel, anna) == (IN, DENIED)

            await eventually(both_are_taken, 20)

            await provider.post("/rotate")
            latest = await token(provider, "anna")

            async def only_the_new_one_is_taken() -> bool:
                taken = await codes(channel, latest) == (IN, DENIED)
                return taken and await codes(channel, later) == (UNKNOWN, UNKNOWN)

            await eventually(only_the_new_one_is_taken, 20)
        assert not [check for check in await auth.checks() if not check.ok]
