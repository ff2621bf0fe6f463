"""A production mesh whose callers bring tokens: people of tenants, services with scopes, rooms with their own."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from tests.e2e.mesh.test_command import agent, check_words, write_sample
from tests.e2e.rooms.process import build_directory
from tests.kit_server import eventually

SECRET = "a-shared-secret-of-32-characters-or-more"
KEY = "service-key-that-nobody-takes"


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory that nobody has used."""
    with build_directory() as directory:
        yield directory / "data"


def bearer(**claims: Any) -> dict[str, str]:
    usual = {"sub": "anna", "exp": int(time.time()) + 600}
    return {"authorization": f"Bearer {jwt.encode({**usual, **claims}, SECRET, 'HS256')}"}


async def test_a_production_mesh_lives_on_tokens_alone(data: Path):
    settings = {
        "APP_ENV": "prod",
        "AUTH_MODE": "jwt",
        "JWT_SHARED_SECRET": SECRET,
        "JWT_SERVICE_CLAIM_VALUES": "service",
        "TENANT_ENFORCEMENT_ENABLED": "true",
        "SERVICE_API_KEYS": KEY,
    }
    anna = bearer(tenant_id="acme")
    async with agent(data, "up", "--free-ports", **settings) as up:
        await up.says("^ready: http")
        url = json.loads((data / "mesh.json").read_text())["url"]
        async with httpx2.AsyncClient(base_url=url, timeout=30) as http:

            async def ask(verb: str, path: str, headers: dict[str, str], **options: Any) -> tuple[int, Any]:
                answer = await http.request(verb, path, headers=headers, **options)
                return answer.status_code, answer.json()

            for headers in ({}, {"x-api-key": KEY}, bearer(), bearer(tenant_id="acme", exp=1)):
                assert (await ask("GET", "/v1/meetings", headers))[0] in (401, 403)

            asked = {"mode": "upload", "language": "en", "context": {"tenant_id": "forged", "round": 2}}
            status, started = await ask("POST", "/v1/meetings/start", anna, json=asked)
            assert status == 200, started
            assert started["meeting"]["context"] == {"tenant_id": "acme", "round": 2}, "nobody names another tenant"
            path = f"/v1/meetings/{started['meeting_id']}"
            sample = write_sample(data.parent / "alice.wav").read_bytes()
            assert (await ask("POST", f"{path}/chunks", anna | {"content-type": "audio/wav"}, content=sample))[0] == 200
            assert (await ask("POST", f"{path}/finish", anna))[0] == 200

            async def reported() -> bool:
                return (await http.get(f"{path}/report/text", headers=anna)).status_code == 200

            await eventually(reported, 60)  # ingest asked stt and report with tokens of its own
            check_words((await ask("GET", path, anna))[1]["raw_transcript"])
            assert (await ask("GET", path, bearer(tenant_id="globex")))[0] == 404

            joining = {"provider": "room", "auto_join_connector": True, "title": "live"}
            _, live = await ask("POST", "/v1/meetings/start", anna, json=joining)
            assert live["connector_error"] == ""

            def recorder_is_in() -> bool:
                lines = map(json.loads, (data / "logs" / "gateway.log").read_text().splitlines())
                entered = [line for line in lines if line["event"] == "room_entered"]
                return any((line["role"], line["meeting_id"]) == ("recorder", live["meeting_id"]) for line in entered)

            await eventually(recorder_is_in, 20)  # the connector showed a token of its own, and the tenant
            assert (await ask("POST", f"/v1/meetings/{live['meeting_id']}/finish", anna))[0] == 200

            viewer = bearer(sub="eye", token_type="service", scope="agent.admin.read")
            status, readiness = await ask("GET", "/v1/admin/system/readiness", viewer)
            assert status == 200, readiness
            assert (await ask("GET", "/v1/admin/system/readiness", anna))[0] == 403
            assert (await ask("GET", path, viewer | {"x-tenant-id": "acme"}))[0] == 403, "viewers read no meetings"
    said = up.output + up.errors + "".join(log.read_text() for log in (data / "logs").iterdir())
    for secret in (SECRET, KEY, anna["authorization"].split(".")[2]):
        assert secret not in said, "no secret in any log"
