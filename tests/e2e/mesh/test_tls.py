"""`agent certificates` and `agent up --certificates`: a mesh whose rooms take only each other's certificates."""

import asyncio
import json
import os
import ssl
import stat
import sys
from pathlib import Path

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2

from kit.rpc.client import open_channel
from kit.rpc.status import error_of
from kit.settings import TlsSettings
from mesh.address_book import tls_in
from mesh.certificates import tls_of
from tests.certificates import PLAIN
from tests.e2e.mesh.test_command import START_SECONDS, STOP_SECONDS, agent, check_words, data, run_agent, write_sample
from tests.e2e.rooms.process import ROOT
from tests.kit_server import health_stub

__all__ = ["data"]


@pytest.mark.timeout(300)
async def test_a_mesh_over_tls_works_for_everybody_who_belongs_to_it(data: Path):
    certificates = data.parent / "certificates"
    sample = write_sample(data.parent / "alice.wav")
    made = await run_agent(data, "certificates", str(certificates), "--host", "agent.example")
    assert made.status == 0, made.errors
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in certificates.rglob("*.key"))
    authority = (certificates / "ca.crt").read_bytes()
    https = {
        "GATEWAY_TLS_CERT_FILE": str(certificates / "gateway" / "tls.crt"),
        "GATEWAY_TLS_KEY_FILE": str(certificates / "gateway" / "tls.key"),
    }
    trust = ssl.create_default_context(cafile=certificates / "ca.crt")
    async with agent(data, "up", "--free-ports", "--certificates", str(certificates), **https) as up:
        await up.says("^ready: https")
        book = json.loads((data / "mesh.json").read_text())
        key = {"X-API-Key": book["user_key"]}

        async with httpx2.AsyncClient(
            base_url=book["url"], headers=key, timeout=30, trust_env=False, verify=trust
        ) as rest:
            started = (await rest.post("/v1/meetings/start", json={"title": "over TLS"})).raise_for_status().json()
            listed = (await rest.get("/v1/meetings")).raise_for_status().json()
        assert started["meeting_id"] in json.dumps(listed)

        there = ("--target", book["gateway"])
        known = (*there, "--key", book["service_key"], "--ca-file", f"{certificates}/ca.crt")
        probe = tls_of(certificates, "stt").environment() | {"STT_LISTEN": book["stt"]}
        healthy, ill, words, rooms, elsewhere, refused = await asyncio.gather(
            run_agent(data, "health", "stt", **probe),
            run_agent(data, "health", "stt", STT_LISTEN=book["stt"]),
            run_agent(data, "transcribe", str(sample), "--language", "en"),
            console(data, "rooms", "--json"),
            console(data, *known, "rooms", "--json"),
            console(data, *there, "rooms"),
        )
        assert (healthy.status, ill.status) == (0, 1), healthy.errors
        assert "wants TLS; set GRPC_TLS_CA_FILE" in ill.errors
        assert words.status == 0, words.errors
        assert "starting" not in words.errors, "the mesh that runs is used"
        check_words(words.output)
        for status, output in (rooms, elsewhere):
            assert status == 0, output
            assert {json.loads(line)["state"] for line in output.splitlines()} == {"serving"}
        assert refused[0] == 3
        assert "wants TLS" in refused[1]

        assert "wants TLS" in await refusal(book["ingest"], PLAIN)
        visitor = tls_in({"grpc_tls_ca_file": str(certificates / "ca.crt")})
        assert "wants one and we have none" in await refusal(book["ingest"], visitor)
        assert await refusal(book["gateway"], visitor) == "", "consoles and integrators have a key and no certificate"

        renewed = await run_agent(data, "certificates", str(certificates), "--host", "agent.example")
        assert renewed.output.startswith("renewed")
        assert (certificates / "ca.crt").read_bytes() == authority
        up.process.terminate()
        assert (await up.ended(STOP_SECONDS)).status == 0
    assert "Traceback" not in up.errors + "".join(log.read_text() for log in (data / "logs").iterdir())


async def console(data: Path, *arguments: str) -> tuple[int | None, str]:
    """Run `agent-console` to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tui", *arguments, cwd=data.parent, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}",
            "AGENT_DATA_DIR": str(data),
        },
    )  # fmt: skip
    async with asyncio.timeout(START_SECONDS):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


async def refusal(address: str, tls: TlsSettings) -> str:
    """Ask for health; the sentence about why nobody answered, empty if somebody did."""
    async with open_channel(address, api_key=None, tls=tls) as channel:
        try:
            await health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        except grpc.aio.AioRpcError as error:
            return error_of(error).message
    return ""
