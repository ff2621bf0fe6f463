"""TLS between rooms on real servers: who is let in, what the other side reads when not, and renewal while running."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from kit.rpc.certificates import EXPIRES, CertificateFiles
from kit.rpc.client import open_channel
from kit.rpc.credentials import to_itself
from kit.rpc.server import RpcServer
from kit.rpc.status import error_of
from kit.settings import SettingsError, TlsSettings
from tests.certificates import PLAIN, Authority
from tests.kit_server import SERVICE_KEY, Echo, EchoStub, RunningEcho, Text, eventually, running_echo

SECONDS = 20.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The mesh's authority."""
    return Authority(tmp_path / "mesh")


@asynccontextmanager
async def calling(echo: RunningEcho, tls: TlsSettings) -> AsyncIterator[EchoStub]:
    """A stub on a channel of its own, for a block."""
    async with open_channel(echo.server.address, api_key=SERVICE_KEY, tls=tls) as channel:
        yield EchoStub(channel, echo.service)


async def said(server: RpcServer, service: str, tls: TlsSettings) -> str:
    """Say something over a channel of its own; return what came back, or the sentence about why nothing did."""
    async with open_channel(server.address, api_key=SERVICE_KEY, tls=tls) as channel:
        try:
            answer = await EchoStub(channel, service).Say(Text(value="hello"), timeout=SECONDS)
        except grpc.aio.AioRpcError as error:
            problem = error_of(error)
            return f"{problem.code.name} {problem.message}"
        return str(answer.value)


async def test_only_certificates_of_the_authority_come_in_and_the_others_read_why(authority: Authority, tmp_path: Path):
    stranger = Authority(tmp_path / "elsewhere", "stranger")
    ours = authority.issue("ingest")
    theirs = stranger.issue("ingest").model_copy(update={"ca_file": authority.file})
    async with running_echo(tls=ours) as echo:

        async def with_tls(tls: TlsSettings) -> str:
            return await said(echo.server, echo.service, tls)

        assert await with_tls(authority.issue("gateway")) == "hello"
        assert "wants TLS; set GRPC_TLS_CA_FILE" in await with_tls(PLAIN)
        refused = "UNAVAILABLE no connection: it does not accept our certificate, or wants one and we have none"
        assert refused in await with_tls(authority.without_certificate())
        assert refused in await with_tls(theirs)
        assert refused in await with_tls(authority.issue("old", days=-1))
        assert "not in our GRPC_TLS_CA_FILE" in await with_tls(stranger.issue("gateway"))
        elsewhere = ours.model_copy(update={"server_name": "stt"})
        assert "does not bear the name" in await with_tls(elsewhere)
        assert await with_tls(ours.model_copy(update={"server_name": "ingest"})) == "hello"


async def test_a_caller_reads_what_is_wrong_with_the_certificate_of_a_server(authority: Authority):
    caller = authority.issue("gateway")
    async with running_echo(tls=authority.issue("old", days=-1)) as expired:
        assert "its certificate has ended" in await said(expired.server, expired.service, caller)
        assert expired.server.tls is not None
        [check] = expired.server.tls.files.checks()
        assert not check.ok
        assert check.message.startswith("GRPC_TLS_CERT_FILE: the certificate ended on ")
    async with running_echo(tls=PLAIN) as plain:
        assert "does not speak TLS and we do" in await said(plain.server, plain.service, caller)


async def test_a_door_for_people_asks_for_no_certificate(authority: Authority):
    async with running_echo(tls=authority.issue("gateway"), client_certificates=False) as echo:
        assert await said(echo.server, echo.service, authority.without_certificate()) == "hello"
        assert "wants TLS" in await said(echo.server, echo.service, PLAIN)


async def test_a_process_reaches_itself_whatever_its_certificate_is_made_for(authority: Authority):
    ours = authority.issue("gateway", names=("*.example.org",))
    async with running_echo(tls=ours) as echo:
        assert "does not bear the name" in await said(echo.server, echo.service, ours)
        assert await said(echo.server, echo.service, to_itself(ours)) == "hello"


async def test_replicas_given_as_addresses_need_a_name(authority: Authority):
    tls = authority.issue("ingest")
    with pytest.raises(SettingsError, match="GRPC_TLS_SERVER_NAME: needed"):
        async with open_channel("127.0.0.1:1,127.0.0.1:2", api_key=None, tls=tls):
            pass
    async with running_echo(tls=tls) as echo:
        both = f"127.0.0.1:1,{echo.server.address}"
        named = tls.model_copy(update={"server_name": "ingest"})
        async with open_channel(both, api_key=SERVICE_KEY, tls=named) as channel:
            answer = await EchoStub(channel, echo.service).Say(
                Text(value="hello"), timeout=SECONDS, wait_for_ready=True
            )
    assert answer.value == "hello"


async def test_certificates_are_renewed_under_open_streams_on_both_sides(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kit.rpc.certificates._LOOK_SECONDS", 0.0)
    room, caller = authority.issue("ingest"), authority.issue("gateway")
    async with running_echo(Echo(), tls=room) as echo, calling(echo, caller) as stub:
        talk = stub.Chat()
        await talk.write(Text(value="before"))
        assert (await talk.read()).value == "before"

        # Another authority altogether: who still showed or believed the former one would be out.
        successor = Authority(authority.directory, authority.name)
        successor.issue("ingest", days=5)
        successor.issue("gateway", days=5)
        assert (await stub.Say(Text(value="after"), timeout=SECONDS, wait_for_ready=True)).value == "after"
        assert await said(echo.server, echo.service, successor.issue("report")) == "hello"

        await talk.write(Text(value="still here"))
        assert (await talk.read()).value == "still here"
        await talk.done_writing()
        assert await talk.read() is grpc.aio.EOF
    assert EXPIRES._value.get() > 0


async def test_half_a_renewal_changes_nothing(authority: Authority, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.rpc.certificates._LOOK_SECONDS", 0.0)
    settings = authority.issue("ingest")
    files = CertificateFiles(settings)
    before = files.current()
    key = settings.files["GRPC_TLS_KEY_FILE"].read_bytes()
    authority.issue("ingest")
    settings.files["GRPC_TLS_KEY_FILE"].write_bytes(key)
    assert files.current() is before, "a certificate whose key is not there yet"
    settings.files["GRPC_TLS_CERT_FILE"].unlink()
    assert files.current() is before
    authority.issue("ingest")
    assert files.current() is not before


@pytest.mark.parametrize(
    ("variable", "content", "problem"),
    [
        ("GRPC_TLS_CERT_FILE", None, "cannot read"),
        ("GRPC_TLS_CERT_FILE", b"nonsense", "holds no certificate in PEM"),
        ("GRPC_TLS_CA_FILE", b"", "holds no certificate in PEM"),
        ("GRPC_TLS_KEY_FILE", b"nonsense", "is not a key in PEM"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_named(
    authority: Authority, variable: str, content: bytes | None, problem: str
):
    settings = authority.issue("ingest")
    path = settings.files[variable]
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"^{variable}: .*{problem}"):
        CertificateFiles(settings)


async def test_many_callers_at_once_outlive_a_renewal(authority: Authority, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.rpc.certificates._LOOK_SECONDS", 0.0)
    room, caller = authority.issue("ingest"), authority.issue("gateway")
    async with running_echo(tls=room) as echo, calling(echo, caller) as stub:
        calls = 0

        async def keepcalling() -> None:
            nonlocal calls
            while calls < 150:
                await stub.Say(Text(value="x"), timeout=SECONDS)
                calls += 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(keepcalling())
            for threshold in (30, 80):
                await eventually(lambda: calls >= threshold, SECONDS)  # noqa: B023 - awaited in this turn
                authority.issue("gateway")
    assert calls >= 150
