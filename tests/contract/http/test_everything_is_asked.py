"""Every operation of the OpenAPI document asked with what its schemas allow, and not: real rooms, no server error."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.rest.openapi import DOCUMENT
from kit.audit.auditing import Auditing
from kit.audit.settings import AuditSettings
from kit.blobs import open_blobs
from kit.db.engine import open_database
from kit.lifecycle import Shutdown
from services.report.app import open_report
from services.report.settings import ReportSettings
from tests.integration.gateway.scripted import SERVICE_KEY, USER_KEY, Mesh, api_keys, running_mesh
from tests.integration.ingest.running import serving_ingest
from tests.integration.report.running import hold_meeting
from tests.postgres import fresh_url

EXAMPLES = 12
"""Requests per operation; the same ones in every run."""

_ENDLESS = {"watchMeeting", "tailLogs"}
_NOT_HERE = {"ConnectorService", "Transcriptions"}
"""Connector and speech are scripted rooms here: they say of everything that it is unimplemented, in order."""
_LATER = {501: _NOT_HERE, 503: {"AdminService", "ReportService", "Transcriptions", "MeetingService", *_NOT_HERE}}

_PROBLEM = "application/problem+json"


@schemathesis.serializer("application/sdp")
def _as_it_is(context: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode()


SCHEMA = schemathesis.openapi.from_path(str(DOCUMENT))


@asynccontextmanager
async def whole_mesh(root: Path) -> AsyncIterator[tuple[Mesh, str]]:
    """The gateway before real ingest and report rooms, with one finished meeting."""
    asked = ReportSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0")
    with fresh_url() as url:
        async with (
            open_database(url, room="tests") as database,
            open_blobs("local_fs", root / "blobs") as blobs,
            open_report(asked, database, blobs, api_keys(), Shutdown(), auditing=Auditing(AuditSettings())) as report,
            serving_ingest(url, root / "ingest") as ingest,
            running_mesh(
                elsewhere={"ingest": ingest.room.server.address, "report": report.server.address},
                request_timeout_seconds=5.0,
                transcription_timeout_seconds=5.0,
            ) as mesh,
        ):
            yield mesh, await hold_meeting(database)


def operations() -> Iterator[Any]:
    """Every operation that ends by itself."""
    results: list[Any] = list(SCHEMA.get_all_operations())
    found = [result.ok() for result in results]
    ending = [operation for operation in found if operation.definition.raw["operationId"] not in _ENDLESS]
    yield from sorted(ending, key=lambda operation: operation.method == "delete")  # what is erased is gone for the rest


def ask(operation: Any, base_url: str, meeting_id: str, session: requests.Session, statuses: Counter[int]) -> list[str]:
    """Ask one operation EXAMPLES times and count the answers; returns what was wrong with them."""
    name, tag = operation.definition.raw["operationId"], operation.definition.raw["tags"][0]
    wrong: list[str] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), known=st.booleans(), service=st.booleans())
    def run(case: Any, known: bool, service: bool) -> None:
        if known and "meeting_id" in (case.path_parameters or {}):
            case.path_parameters["meeting_id"] = meeting_id
        headers = {"x-api-key": SERVICE_KEY if service else USER_KEY}
        response = case.call(base_url=base_url, headers=headers, session=session, timeout=20)
        status = response.status_code
        statuses[status] += 1
        if status >= 500 and tag not in _LATER.get(status, ()):
            wrong.append(f"{name}: {status} {response.text[:300]} for {case.as_curl_command()[:600]}")
        if len(response.headers["x-trace-id"][0]) != 32:
            wrong.append(f"{name}: no trace id")
        if status >= 400 and tag != "Transcriptions" and _PROBLEM not in response.headers["content-type"]:
            wrong.append(f"{name}: {status} is no problem document")

    run()
    return wrong


@pytest.mark.timeout(300)
async def test_no_request_makes_a_server_error(tmp_path: Path):
    wrong: list[str] = []
    statuses: Counter[int] = Counter()
    async with whole_mesh(tmp_path) as (mesh, meeting_id):
        with requests.Session() as session:
            for operation in operations():
                wrong += await asyncio.to_thread(ask, operation, mesh.url, meeting_id, session, statuses)
    assert not wrong, "\n".join(wrong)
    assert statuses[200] > 50, statuses
