"""The tools on a mesh that runs: a meeting from end to end, and both guardrails with bounds that hold or do not."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.mesh import Mesh, open_mesh

ROOT = Path(__file__).resolve().parents[3]
LOAD = ("--meetings", "2", "--seconds", "4")
# Whether a busy machine is fast is not what is tested here.
PATIENT = {
    "realtime_load_guardrail": (
        "--max-p95-ms", "60000", "--max-p99-ms", "60000", "--min-throughput-share", "0.05",
        "--max-text-p95-seconds", "200", "--max-report-p95-seconds", "200",
    ),
    "ws_contours_guardrail": (
        "--max-ack-p95-ms", "60000", "--max-ack-p99-ms", "60000", "--min-throughput-share", "0.05",
        "--max-event-p95-seconds", "60",
    ),
}  # fmt: skip


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may pass through, which pytest's are not."""
    (ROOT / "build").mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="tools-", dir=ROOT / "build"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


async def run(mesh: Mesh, tool: str, *arguments: str) -> tuple[int, str, str]:
    where = ("--base-url", mesh.url, "--api-key", mesh.keys.user)
    process = await asyncio.create_subprocess_exec(
        sys.executable, ROOT / "tools" / f"{tool}.py", *where, *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip
    async with asyncio.timeout(150):
        said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


async def guard(mesh: Mesh, report: Path, tool: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    keys = ("--service-key", mesh.keys.service, "--report", str(report))
    code, said, complained = await run(mesh, tool, *LOAD, *PATIENT[tool], *keys, *arguments)
    assert report.is_file(), said + complained
    return code, json.loads(report.read_text()), complained


@pytest.mark.timeout(240)
async def test_a_meeting_and_both_guardrails_on_a_mesh_that_runs(data: Path, tmp_path: Path):
    async with open_mesh(data, free_ports=True, environment={"STT_PROVIDER": "mock"}) as mesh:
        ended = await asyncio.gather(
            run(mesh, "e2e_local", "--seconds", "8", "--chunk-seconds", "4"),
            guard(mesh, tmp_path / "rest.json", "realtime_load_guardrail", "--strict-admin-checks"),
            guard(mesh, tmp_path / "ws.json", "ws_contours_guardrail", "--max-ack-p95-ms", "0.001"),
        )
        (code, said, complained), rest, socket = ended

    assert code == 0, complained
    summary = json.loads(said)
    assert (summary["ok"], summary["chunks"], summary["duration_ms"]) == (True, 2, 8_000)
    assert summary["report_sections"]

    code, report, complained = rest
    assert code == 0, complained
    assert report["details"]["requests"]["chunk"]["count"] == 8
    contours = {line.partition(" (")[0] for line in report["details"]["admin"]["checked"]}
    assert {"GET /v1/admin/security/audit", "GET /v1/admin/queues/report/jobs"} <= contours

    code, report, complained = socket
    assert (code, report["ok"]) == (1, False)
    assert len(report["breaches"]) == 2, report["breaches"]
    assert "above the threshold 0.001 ms (--max-ack-p95-ms)" in complained
    for contour in ("user", "internal"):
        assert report["details"][contour]["acknowledged"]["count"] == 80, "every frame of both meetings"
        assert report["details"][contour]["events"]["segment"] >= 2
