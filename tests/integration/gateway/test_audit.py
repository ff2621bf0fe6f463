"""The audit trail from end to end: HTTP and WebSocket decisions of gateway and rooms, in one chain, served by REST."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from pydantic import SecretStr
from websockets.asyncio.client import connect

from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from kit.audit.auditing import Auditing
from kit.audit.origin import ORIGIN, SEAL, Origins
from kit.audit.settings import AuditSettings
from store.audit.room import open_audit
from store.audit.table import AuditStore
from tests.integration.gateway import interview
from tests.integration.gateway.scripted import SERVICE, SERVICE_KEY, USER_KEY, Mesh, running_mesh
from tests.kit_server import eventually
from tests.postgres import fresh_database

MEETING = f"/v1/meetings/{interview.MEETING_ID}"


@asynccontextmanager
async def audited(**settings: Any) -> AsyncIterator[tuple[Mesh, AuditStore]]:
    """A mesh whose ingest and report keep one trail."""
    auditing = Auditing(AuditSettings(**settings), Origins([SecretStr(SERVICE_KEY)]))
    async with (
        fresh_database() as database,
        open_audit(database, auditing) as ingest,
        open_audit(database, auditing) as report,
        running_mesh(auditing=auditing, trails={"ingest": ingest, "report": report}) as mesh,
    ):
        yield mesh, AuditStore(database)


async def events(mesh: Mesh, **parameters: str) -> list[dict[str, Any]]:
    response = await mesh.http.get("/v1/admin/security/audit", params=parameters, headers=SERVICE)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["events"]
    return found


async def until(mesh: Mesh, method: str, endpoint: str, outcome: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        told = await events(mesh, outcome=outcome, endpoint=endpoint)
        found[:] = [one for one in told if (one["method"], one["endpoint"]) == (method, endpoint)]
        return bool(found)

    await eventually(there, 20)
    return found[0]


async def test_a_call_over_http_shows_its_method_and_path_and_the_chain_is_whole():
    async with audited() as (mesh, store):
        await mesh.http.delete(MEETING, params={"reason": "asked for"})
        row = await until(mesh, "DELETE", MEETING, "allow")
        assert row["subject"].startswith("user:")
        assert (row["auth_type"], row["reason"], row["tenant_id"]) == ("api_key", "rule", "default")
        await mesh.http.get(f"{MEETING}/report", headers={"x-api-key": "guess"})
        denied = await until(mesh, "GET", f"{MEETING}/report", "deny")
        assert (denied["subject"], denied["reason"]) == ("unknown", "the API key is not known")
        await mesh.http.get("/v1/admin/queues/health")
        refused = await until(mesh, "GET", "/v1/admin/queues/health", "deny")
        assert refused["subject"] == row["subject"]
        await mesh.http.get("/v1/admin/queues/health", headers=SERVICE)
        asked = await until(mesh, "GET", "/v1/admin/queues/health", "allow")
        assert len(await events(mesh, endpoint="/v1/admin/queues", outcome="allow")) == 1, "told once, not by each room"
        assert int(asked["sequence"]) > int(refused["sequence"])
        assert "guess" not in str(await events(mesh))
        check = await store.check()
        assert check.broken is None
        assert check.rows >= 4


async def test_a_socket_that_is_refused_is_in_the_trail():
    async with audited() as (mesh, _):
        async with connect(mesh.ws("/v1/ws/internal")) as socket:
            await socket.send(json.dumps({"type": "watch", "meeting_id": "x", "api_key": USER_KEY}))
            await socket.recv()
        row = await until(mesh, "WS", "/v1/ws/internal", "deny")
        assert row["subject"].startswith("user:")
        async with connect(mesh.ws("/v1/ws")) as socket:
            await socket.send(json.dumps({"type": "watch", "meeting_id": interview.MEETING_ID, "api_key": "guess"}))
            await socket.recv()
        assert (await until(mesh, "WS", "/v1/ws", "deny"))["subject"] == "unknown"


async def test_a_guest_who_claims_to_be_the_recorder_is_in_the_trail():
    path = f"/v1/rooms/{interview.MEETING_ID}/signal"
    async with audited() as (mesh, _):
        for key, subject in ((USER_KEY, "user:"), ("guess", "unknown")):
            async with connect(mesh.ws(path)) as socket:
                join = {"v": 1, "type": "join", "room": interview.MEETING_ID, "name": "Eve", "role": "recorder"}
                await socket.send(json.dumps({**join, "token": key}))
                await socket.recv()

            async def told(subject: str = subject) -> bool:
                rows = await events(mesh, outcome="deny", endpoint=path)
                return any(row["method"] == "WS" and row["subject"].startswith(subject) for row in rows)

            await eventually(told, 20)


async def test_reads_are_in_the_trail_only_when_they_are_asked_for():
    async with audited(allow="all") as (mesh, _):
        await mesh.http.get(MEETING)
        assert (await until(mesh, "GET", MEETING, "allow"))["reason"] == "rule"
    async with audited() as (mesh, _):
        await mesh.http.get(MEETING)
        await mesh.http.post(f"{MEETING}/finish", json={})
        await until(mesh, "POST", f"{MEETING}/finish", "allow")
        assert not [one for one in await events(mesh) if one["method"] == "GET" and one["endpoint"] == MEETING]


async def test_nobody_without_a_service_key_can_name_another_path():
    async with audited() as (mesh, _):
        forged = ((ORIGIN, "GET /health"), (SEAL, "0" * 64), ("x-api-key", "guess"))
        headers = dict(forged) | {"x-request-id": "r1"}
        assert (await mesh.http.post(f"{MEETING}/finish", json={}, headers=headers)).status_code == 401
        await until(mesh, "POST", f"{MEETING}/finish", "deny")
        async with grpc.aio.insecure_channel(mesh.rooms["ingest"]) as channel:
            stub: Any = MeetingServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
                await stub.GetMeeting(meetings.GetMeetingRequest(meeting_id="x"), metadata=forged)
        row = await until(mesh, "GRPC", "/agent.ingest.v1.MeetingService/GetMeeting", "deny")
        assert row["subject"] == "unknown"


async def test_pages_go_on_where_they_ended_and_belong_to_their_question():
    async with audited() as (mesh, _):
        for number in range(5):
            await mesh.http.post(f"{MEETING}/finish", json={}, headers={"x-api-key": f"guess-{number}"})

        async def all_there() -> bool:
            return len(await events(mesh, outcome="deny")) == 5

        await eventually(all_there, 20)
        url, query = "/v1/admin/security/audit", {"outcome": "deny", "page_size": "2"}
        seen: list[str] = []
        token = ""
        while True:
            page = (await mesh.http.get(url, params={**query, "page_token": token}, headers=SERVICE)).json()
            seen += [event["hash"] for event in page["events"]]
            token = page["next_page_token"]
            if not token:
                break
        assert len(set(seen)) == 5
        first = (await mesh.http.get(url, params=query, headers=SERVICE)).json()["next_page_token"]
        other = await mesh.http.get(url, params={"outcome": "allow", "page_token": first}, headers=SERVICE)
        assert (other.status_code, other.json()["reason"]) == (400, "ERROR_REASON_INVALID_PAGE_TOKEN")
        for wrong in ({"outcome": "maybe"}, {"start_time": "yesterday"}, {"page_size": "-1"}):
            assert (await mesh.http.get(url, params=wrong, headers=SERVICE)).status_code == 400


async def test_a_room_takes_only_decisions_for_the_trail():
    async with audited() as (mesh, _), grpc.aio.insecure_channel(mesh.rooms["report"]) as channel:
        stub: Any = OpsServiceStub(channel)
        key = (("x-api-key", SERVICE_KEY),)
        good = ops.AuditEvent(outcome="deny", endpoint="/x", method="GET")
        good.time.GetCurrentTime()
        for field, value in (("outcome", "maybe"), ("method", "RETENTION")):
            wrong = ops.AuditEvent()
            wrong.CopyFrom(good)
            setattr(wrong, field, value)
            with pytest.raises(grpc.aio.AioRpcError, match="INVALID_ARGUMENT"):
                await stub.RecordAudit(ops.RecordAuditRequest(events=[wrong]), metadata=key)
        await stub.RecordAudit(ops.RecordAuditRequest(events=[good]), metadata=key)
        assert [event["endpoint"] for event in await events(mesh, outcome="deny")] == ["/x"]
