"""The administrator's routes: rooms joined, partial failures as rows, jobs mended, services only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.ops.v1 import ops_service_pb2 as ops
from kit.errors import FailedPrecondition, NotFound
from kit.ops.sources import JobOrder, OpsSources
from tests.integration.gateway.scripted import SERVICE, SERVICE_KEY, USER, Mesh, running_mesh
from tests.kit_server import eventually


@dataclass(frozen=True)
class Row:
    """A job."""

    id: str
    sequence: int
    state: str = "dead"
    queue: str = "report"
    kind: str = "build_report"
    key: str | None = "m1"
    attempts: int = 5
    max_attempts: int = 5
    payload: Mapping[str, Any] = field(default_factory=dict)
    last_error: str = "Unavailable"
    create_time: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Jobs:
    """One queue, "report"."""

    def __init__(self) -> None:
        self.rows = {f"j{number}": Row(f"j{number}", number) for number in range(1, 6)}
        self.orders: list[JobOrder] = []

    async def page(self, queue: str, state: str, before: int | None, limit: int) -> Sequence[Row]:
        if queue != "report":
            raise NotFound("the room works on no such queue", queue=queue)
        rows = [row for row in reversed(self.rows.values()) if state in ("", row.state)]
        return [row for row in rows if before is None or row.sequence < before][:limit]

    async def requeue(self, order: JobOrder) -> Row:
        row = self._find(order)
        self.rows[row.id] = replace(row, state="ready")
        return self.rows[row.id]

    async def drop(self, order: JobOrder) -> Row | None:
        return self.rows.pop(self._find(order).id)

    def _find(self, order: JobOrder) -> Row:
        self.orders.append(order)
        row = self.rows.get(order.job_id)
        if row is None or order.queue not in ("", row.queue):
            raise NotFound("there is no such job", job_id=order.job_id)
        if row.state != order.expected_state:
            raise FailedPrecondition(expected=order.expected_state, actual=row.state)
        return row


async def _report_queues() -> Sequence[ops.QueueStatus]:
    return [ops.QueueStatus(queue="report", depth=3, pending=1, dead=2, oldest_age_seconds=9)]


async def _ingest_queues() -> Sequence[ops.QueueStatus]:
    return [ops.QueueStatus(queue="erase", error="the database cannot be reached")]


async def _stored() -> ops.GetStorageHealthResponse:
    return ops.GetStorageHealthResponse(mode="local_fs", path="data/blobs", ok=True, latency_ms=2)


def told(jobs: Jobs | None = None) -> dict[str, OpsSources]:
    return {
        "report": OpsSources(queues=_report_queues, jobs=jobs or Jobs(), storage=_stored),
        "ingest": OpsSources(queues=_ingest_queues, storage=_stored),
    }


async def get(mesh: Mesh, path: str, **parameters: str) -> Any:
    response = await mesh.http.get(path, params=parameters, headers=SERVICE)
    assert response.status_code == 200, response.text
    return response.json()


async def test_queues_of_every_room_stand_side_by_side_and_what_cannot_be_read_is_a_row():
    async with running_mesh(sources=told()) as mesh:
        answer = await get(mesh, "/v1/admin/queues/health")
        assert answer["ok"] is False
        rows = {(row["room"], row["queue"]): row for row in answer["queues"]}
        assert set(rows) == {("ingest", "erase"), ("report", "report")}
        assert rows["report", "report"] == {
            "room": "report",
            "queue": "report",
            "depth": 3,
            "pending": 1,
            "dead": 2,
            "oldest_age_seconds": 9,
            "error": "",
        }
        assert rows["ingest", "erase"]["error"] == "the database cannot be reached"
        await mesh.stop_room("report")

        async def away() -> bool:
            rows = (await get(mesh, "/v1/admin/queues/health"))["queues"]
            return {"report cannot be reached now"} == {row["error"] for row in rows if row["room"] == "report"}

        await eventually(away, 20)


async def test_storage_tells_mode_path_and_probe_of_rooms_that_have_one():
    async with running_mesh(sources=told()) as mesh:
        answer = await get(mesh, "/v1/admin/storage/health")
        assert (answer["ok"], answer["mode"], answer["path"]) == (True, "local_fs", "data/blobs")
        assert [(row["room"], row["ok"]) for row in answer["rooms"]] == [("ingest", True), ("report", True)]


async def test_readiness_holds_every_room_and_a_dead_one_is_a_failed_check():
    async with running_mesh() as mesh:

        async def ready() -> bool:
            return bool((await get(mesh, "/v1/admin/system/readiness"))["ready"])

        await eventually(ready, 20)
        await mesh.stop_room("stt")

        async def away() -> bool:
            answer = await get(mesh, "/v1/admin/system/readiness")
            failed = [(one["room"], one["name"]) for one in answer["checks"] if not one["ok"]]
            return answer["ready"] is False and ("stt", "reachable") in failed

        await eventually(away, 20)


async def test_jobs_are_paged_requeued_and_dropped_where_their_queue_is():
    jobs = Jobs()
    async with running_mesh(sources=told(jobs)) as mesh:
        path = "/v1/admin/queues/report/jobs"
        first = await get(mesh, path, page_size="2", state="dead")
        assert [job["job_id"] for job in first["jobs"]] == ["j5", "j4"]
        second = await get(mesh, path, page_size="2", state="dead", page_token=first["next_page_token"])
        assert [job["job_id"] for job in second["jobs"]] == ["j3", "j2"]
        order = {"expected_state": "dead", "reason": "the mail server is back", "request_id": "r1"}
        done = await mesh.http.post(f"{path}/j5/requeue", json=order, headers=SERVICE)
        assert done.json()["job"]["state"] == "ready"
        assert jobs.orders[-1] == JobOrder("j5", "dead", "r1", "report")
        again = await mesh.http.post(f"{path}/j5/requeue", json=order, headers=SERVICE)
        assert (again.status_code, again.json()["metadata"]) == (400, {"expected": "dead", "actual": "ready"})
        assert (await mesh.http.post(f"{path}/j4/drop", json=order, headers=SERVICE)).status_code == 200
        assert "j4" not in jobs.rows
        for missing in (f"{path}/j9/drop", "/v1/admin/queues/other/jobs/j3/requeue"):
            assert (await mesh.http.post(missing, json=order, headers=SERVICE)).status_code == 404
        assert (await mesh.http.get("/v1/admin/queues/other/jobs", headers=SERVICE)).status_code == 404


ROUTES = [
    ("GET", "/v1/admin/queues/health"),
    ("GET", "/v1/admin/storage/health"),
    ("GET", "/v1/admin/system/readiness"),
    ("GET", "/v1/admin/security/audit"),
    ("GET", "/v1/admin/queues/report/jobs"),
    ("POST", "/v1/admin/queues/report/jobs/j1/requeue"),
    ("POST", "/v1/admin/queues/report/jobs/j1/drop"),
]


async def test_only_services_see_any_of_it():
    async with running_mesh(sources=told()) as mesh:
        for method, path in ROUTES:
            refused = await mesh.http.request(method, path, headers=USER)
            assert (refused.status_code, refused.json()["metadata"]) == (403, {"needs": "service"}), path
            nobody = await mesh.http.request(method, path, headers={"x-api-key": "guess"})
            assert nobody.status_code == 401, path


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
async def test_rooms_are_asked_with_the_administrators_own_credentials(header: str):
    async with running_mesh(sources=told()) as mesh:
        shown = {"x-api-key": "", header: SERVICE_KEY if header == "x-api-key" else f"Bearer {SERVICE_KEY}"}
        response = await mesh.http.get("/v1/admin/queues/health", headers=shown)
        assert not [row for row in response.json()["queues"] if "UNAUTHENTICATED" in row["error"]]
