"""The room as a process: it starts on an empty database, serves, and stops when it is told to."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from agent.report.v1 import report_service_pb2 as pb
from agent.report.v1 import report_service_pb2_grpc as pb_grpc
from kit.rpc.client import open_channel
from tests.integration.report.running import SECONDS, USER_KEY, problem_of
from tests.postgres import fresh_empty_url


async def started(environment: dict[str, str], directory: Path) -> asyncio.subprocess.Process:
    """Start the room with these settings alone."""
    inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.report",
        cwd=directory,
        env={**inherited, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_it_starts_serves_and_stops(tmp_path: Path) -> None:
    environment = {
        "DATABASE_URL": fresh_empty_url(),
        "AGENT_DATA_DIR": str(tmp_path),
        "API_KEYS": USER_KEY,
        "REPORT_LISTEN": "127.0.0.1:0",
        "REPORT_METRICS_LISTEN": "127.0.0.1:0",
    }
    process = await started(environment, tmp_path)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            while b"rpc_listening" not in (line := await process.stdout.readline()):
                assert line, "the room ended before it served"
            address = line.decode().partition('"address": "')[2].partition('"')[0]
            async with open_channel(address, api_key=USER_KEY) as channel:
                call = pb_grpc.ReportServiceStub(channel).GetReport(pb.GetReportRequest(meeting_id="nowhere"))
                assert (await problem_of(call)).reason == "ERROR_REASON_MEETING_NOT_FOUND"
            process.send_signal(signal.SIGTERM)
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_wrong_settings_are_named_one_per_line(tmp_path: Path) -> None:
    environment = {"API_KEYS": USER_KEY, "REPORT_TIME_ZONE": "Mars/Olympus", "REPORT_WORKERS": "0"}
    process = await started(environment, tmp_path)
    async with asyncio.timeout(SECONDS):
        _, errors = await process.communicate()
    assert process.returncode == 1
    lines = errors.decode().splitlines()
    assert [line.partition(":")[2].split(":")[0].strip() for line in lines] == ["REPORT_TIME_ZONE", "REPORT_WORKERS"]


async def test_a_missing_database_is_named(tmp_path: Path) -> None:
    process = await started({"API_KEYS": USER_KEY}, tmp_path)
    async with asyncio.timeout(SECONDS):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("report: DATABASE_URL: the report room needs a database")
