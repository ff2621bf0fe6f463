"""A room that cannot start says why: one clear sentence per problem on stderr, nothing else, exit status 1."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.rooms.process import ROOMS, SERVICE_KEY, STORED, USER_KEY, Ended, started
from tests.postgres import fresh_url

OWN = {
    "stt": {"STT_THREADS": "-1", "STT_LISTEN": "nonsense"},
    "ingest": {"INGEST_WINDOW": "1", "INGEST_LISTEN": "nonsense"},
    "connector": {"CONNECTOR_BUFFER_MIB": "0", "CONNECTOR_LISTEN": "nonsense"},
    "report": {"REPORT_TIME_ZONE": "Europe/Nowhere", "REPORT_LISTEN": "nonsense"},
    "gateway": {"GATEWAY_ICE_SERVERS": "stun:x", "GATEWAY_LISTEN": "nonsense"},
}
"""A wrong value and a wrong address of each room's own section."""

ADDRESSES = {room: (f"{room.upper()}_LISTEN", f"{room.upper()}_METRICS_LISTEN") for room in ROOMS} | {
    "gateway": ("GATEWAY_LISTEN", "GATEWAY_GRPC_LISTEN")
}
"""The variables of the ports that each room listens on."""

AT_A_TIME = 2
SOON_SECONDS = 15.0
"""Nothing is worth more of a person's time; a second is usual."""


@pytest.mark.parametrize("room", ROOMS)
async def test_every_wrong_setting_is_named_at_once(room: str):
    wrong = {"LOG_LEVEL": "loud", "OTEL_ENABLED": "maybe", **OWN[room]}
    ended = await ending(room, **wrong, API_KEYS="", SERVICE_API_KEYS="")
    assert named(room, ended) == {*wrong, "API_KEYS"}
    assert len(ended.sentences) == len(wrong) + 1


@pytest.mark.parametrize("room", ROOMS)
async def test_an_open_door_is_refused_in_production(room: str):
    ended = await ending(room, AUTH_MODE="none", APP_ENV="prod")
    assert ended.sentences == [f"{room}: AUTH_MODE: none is refused when APP_ENV=prod; use jwt"]


async def test_keys_and_modes_that_cannot_work():
    jwt, twice, file, port = await endings(
        ("stt", {"AUTH_MODE": "jwt"}),
        ("gateway", {"API_KEYS": SERVICE_KEY}),
        ("gateway", {"API_KEYS": "", "API_KEYS_FILE": "/no/such/keys"}),
        ("stt", {"STT_LISTEN": "127.0.0.1:99999"}),
    )
    assert jwt.sentences == [
        "stt: OIDC_ISSUER_URL: AUTH_MODE=jwt needs OIDC_ISSUER_URL, OIDC_JWKS_URL or JWT_SHARED_SECRET"
    ]
    assert named("gateway", twice) == {"API_KEYS"}
    assert file.sentences == ["gateway: API_KEYS_FILE: cannot read /no/such/keys (No such file or directory)"]
    assert named("stt", port) == {"STT_LISTEN"}, "port 99999 is not port 34463"


@pytest.mark.parametrize("room", ROOMS)
async def test_a_taken_port_is_named_with_its_variable(room: str):
    with taken_port() as address:
        both = await endings(*((room, {variable: address}) for variable in ADDRESSES[room]))
    for variable, ended in zip(ADDRESSES[room], both, strict=True):
        assert named(room, ended) == {variable}
        assert address in ended.errors
        assert len(ended.sentences) == 1


@pytest.mark.parametrize("room", STORED)
async def test_a_database_that_cannot_be_had_is_one_sentence(room: str):
    closed = f"postgresql://agent:{USER_KEY}@127.0.0.1:1/agent"
    cases = ["", "garbage", "mysql://agent@localhost/agent", closed]
    missing, garbage, other, away = await endings(*((room, {"DATABASE_URL": url}) for url in cases))
    for ended in (missing, garbage, other, away):
        assert len(ended.sentences) == 1
        assert ended.sentences[0].startswith(f"{room}: DATABASE_URL")
    assert "`agent up`" in missing.errors, "what to do"
    assert "postgresql://user:password@host/name" in garbage.errors, "what it looks like"
    assert "mysql" in other.errors
    assert "refused" in away.errors, "what happened"


async def test_a_database_that_refuses_us_is_one_sentence():
    with fresh_url() as url:
        server, _, name = url.rpartition("/")
        user, _, place = server.rpartition("@")
        wrong_password = f"{user.rpartition(':')[0]}:{USER_KEY}@{place}/{name}"
        refused, gone = await endings(
            ("ingest", {"DATABASE_URL": wrong_password}),
            ("report", {"DATABASE_URL": f"{server}/no_such_database"}),
        )
    for room, ended, said in (
        ("ingest", refused, "password authentication failed"),
        ("report", gone, '"no_such_database" does not exist'),
    ):
        assert len(ended.sentences) == 1
        assert ended.sentences[0].startswith(f"{room}: DATABASE_URL: ")
        assert said in ended.errors


async def test_a_missing_model_says_what_to_do():
    directory, hub, unknown, engine = await endings(
        ("stt", {"STT_PROVIDER": "auto", "STT_MODEL": "/no/such/dir"}),
        ("stt", {"STT_PROVIDER": "auto", "STT_MODEL": "small", "STT_OFFLINE": "true", "HF_HOME": "/no/such/cache"}),
        ("stt", {"STT_PROVIDER": "auto", "STT_MODEL": "enormous"}),
        ("stt", {"STT_PROVIDER": "parrot"}),
    )
    assert directory.sentences[0].startswith("stt: STT_MODEL=/no/such/dir: there is no such directory")
    assert "STT_OFFLINE=true" in hub.errors
    assert "Set STT_MODEL to the directory" in hub.errors
    assert "large-v3" in unknown.errors, "what there is"
    assert "faster_whisper" in engine.errors
    assert all(len(ended.sentences) == 1 for ended in (directory, hub, unknown, engine))


async def test_a_data_directory_that_cannot_be_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for room, ended in zip(
        ("ingest", "report"),
        await endings(
            ("ingest", {"AGENT_DATA_DIR": str(tmp_path / "file")}),
            ("report", {"AGENT_DATA_DIR": str(tmp_path / "file")}),
        ),
        strict=True,
    ):
        assert len(ended.sentences) == 1, room
        assert str(tmp_path / "file") in ended.errors


def named(room: str, ended: Ended) -> set[str]:
    """Return the variables that the sentences start with."""
    assert all(line.startswith(f"{room}: ") for line in ended.sentences), ended.errors
    return {line.split(": ")[1] for line in ended.sentences}


@contextmanager
def taken_port() -> Iterator[str]:
    """Hold a port for the block."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield f"127.0.0.1:{taken.getsockname()[1]}"


async def endings(*cases: tuple[str, dict[str, str]]) -> Sequence[Ended]:
    """Start rooms that must not come up, a few at a time."""
    turn = asyncio.Semaphore(AT_A_TIME)

    async def one(room: str, settings: dict[str, str]) -> Ended:
        async with turn:
            return await ending(room, **settings)

    return await asyncio.gather(*(one(room, settings) for room, settings in cases))


async def ending(room: str, **settings: str) -> Ended:
    """Start a room that must not come up."""
    async with started(room, **settings) as process:
        ended = await process.ended()
    assert ended.status == 1, ended.output + ended.errors
    assert ended.seconds < SOON_SECONDS
    assert "Traceback" not in ended.output + ended.errors
    assert "crashed" not in ended.events
    return ended
