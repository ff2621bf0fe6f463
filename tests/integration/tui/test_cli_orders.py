"""The commands that ask and that change something, started as an operator or a script starts them."""

import asyncio
import json
from pathlib import Path

import pytest

from agent.common.v1 import transcript_pb2
from agent.console.v1 import admin_service_pb2 as admin
from agent.console.v1 import console_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2 as meetings
from tests.fakes.console_server import SERVICE_KEY, VIEWER_KEY, ConsoleGateway, running_console
from tests.integration.tui.test_cli import HOSTILE, outcome, started
from tests.kit_server import eventually


def segment(ordinal: int, speaker: str, text: str) -> meetings.WatchMeetingResponse:
    said = transcript_pb2.Segment(ordinal=ordinal, participant_id=speaker, speaker=speaker, text=text, start_ms=65_000)
    return meetings.WatchMeetingResponse(cursor=ordinal, segment=said)


def a_mesh() -> ConsoleGateway:
    gateway = ConsoleGateway(pb.ConsoleSession(meeting_id="m-1", title="Board prep", state="LIVE"))
    gateway.desk.add_jobs("deliver", "j-1", "j-2", error=HOSTILE)
    gateway.desk.add_jobs("report", "j-3")
    gateway.desk.audit = [
        admin.AuditEvent(sequence=2, outcome="deny", subject="vera", endpoint="/rpc/Drop", method="GRPC", reason="no"),
        admin.AuditEvent(sequence=1, outcome="allow", subject="ana", endpoint=HOSTILE, method="GRPC"),
    ]
    gateway.desk.checks = [admin.SystemCheck(room="stt", name="reachable", ok=True)]
    gateway.desk.storage = [admin.StorageHealth(room="ingest", mode="local_fs", path="/blobs", ok=True, latency_ms=2)]
    return gateway


async def test_the_audit_trail_ends_with_what_is_new(tmp_path: Path) -> None:
    async with running_console(a_mesh()) as server:
        way = ["--target", server.address, "--key", SERVICE_KEY]
        code, out, err = await outcome(tmp_path, *way, "audit")
        assert (code, err) == (0, "")
        assert [line.split()[1] for line in out.splitlines()[1:] if "DENY" in line] == ["vera"]
        assert "DENY" in out.splitlines()[-1]
        assert out.replace("\n", "").isprintable()
        _, out, _ = await outcome(tmp_path, *way, "audit", "--json", "--outcome", "deny")
        assert [json.loads(line)["sequence"] for line in out.splitlines()] == [2]


async def test_dead_letters_are_listed_requeued_and_dropped(tmp_path: Path) -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server:
        way = ["--target", server.address, "--key", SERVICE_KEY, "dlq"]
        code, out, _ = await outcome(tmp_path, *way, "ls", "--json")
        rows = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert [(row["job_id"], row["key"], row["queue"]) for row in rows] == [
            ("j-1", "m-1", "deliver"),
            ("j-2", "m-1", "deliver"),
            ("j-3", "m-1", "report"),
        ]
        assert rows[0]["last_error"].isprintable()
        code, out, _ = await outcome(tmp_path, *way, "requeue", "deliver", "j-1", "--reason", "crm is back")
        assert (code, out) == (0, "Done: requeue deliver/j-1.\n")
        assert (gateway.desk.jobs["j-1"].state, gateway.desk.actions[0].reason) == ("ready", "crm is back")
        code, _, err = await outcome(tmp_path, *way, "drop", "deliver")
        assert (code, "--yes-drop deliver" in err, len(gateway.desk.actions)) == (2, True, 1)
        code, out, _ = await outcome(tmp_path, *way, "drop", "deliver", "--yes-drop", "deliver")
        assert (code, out) == (0, "Done: drop deliver/j-2.\n")
        assert sorted(gateway.desk.jobs) == ["j-1", "j-3"]
        code, _, err = await outcome(tmp_path, *way, "requeue", "deliver", "j-1")
        assert code == 1
        assert "Did not requeue job j-1" in err
        assert "It is ready now" in err
        code, out, _ = await outcome(tmp_path, *way, "requeue", "deliver")
        assert (code, out) == (0, "deliver has no dead letters.\n")


@pytest.mark.parametrize(
    ("arguments", "action", "target"),
    [
        (["breaker", "reset", "sberjazz", "--expected", "open"], "breaker.reset", "sberjazz"),
        (["session", "join", "m-2", "--provider", "room"], "session.join", "m-2"),
        (["session", "leave", "m-1"], "session.leave", "m-1"),
        (["connector", "reconcile"], "connector.reconcile", ""),
        (["report", "redeliver", "m-1", "d-1"], "delivery.retry", "m-1/d-1"),
    ],
)
async def test_an_order_is_one_action_with_an_id(
    tmp_path: Path, arguments: list[str], action: str, target: str
) -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server:
        code, out, err = await outcome(tmp_path, "--target", server.address, "--key", SERVICE_KEY, *arguments)
    assert (code, err) == (0, "")
    assert out.startswith("Done")
    (request,) = gateway.desk.actions
    assert (request.action, request.target) == (action, target)
    assert request.request_id
    assert request.reason


async def test_a_viewer_looks_and_may_not_act(tmp_path: Path) -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server:
        way = ["--target", server.address, "--key", VIEWER_KEY]
        code, out, _ = await outcome(tmp_path, *way, "whoami", "--json")
        assert (code, json.loads(out)["role"]) == (0, "viewer")
        code, out, err = await outcome(tmp_path, *way, "breaker", "reset", "sberjazz")
        assert (code, out) == (5, "")
        assert "This key may not reset sberjazz" in err
    assert gateway.desk.actions == []


async def test_tail_writes_what_becomes_final_and_ends_with_the_meeting(tmp_path: Path) -> None:
    gateway = a_mesh()
    gateway.desk.events = [segment(1, "Ana", "Let us begin."), segment(2, "Kai", HOSTILE)]
    async with running_console(gateway) as server:
        way = ["--target", server.address, "--key", SERVICE_KEY, "tail"]
        async with started(tmp_path, *way, "m-1") as process, asyncio.timeout(30):
            assert process.stdout is not None
            assert await process.stdout.readline() == b"00:01:05  Ana  Let us begin.\n"
            await process.stdout.readline()
            await eventually(lambda: gateway.desk.watchers == 1)
            gateway.desk.say(segment(3, "Ana", "One more thing."))
            assert b"One more thing." in await process.stdout.readline()
            gateway.desk.say(None)
            assert await process.wait() == 0
        async with started(tmp_path, *way, "m-1", "--json") as process, asyncio.timeout(30):
            assert process.stdout is not None
            lines = [(await process.stdout.readline()).decode() for _ in range(2)]
            assert json.loads(lines[0])["segment"]["participant_id"] == "Ana"
            assert lines[1].rstrip("\n").isprintable()
            assert "\\u" not in lines[1]
        code, _, err = await outcome(tmp_path, *way, "m-none")
        assert code == 1
        assert "Cannot read this meeting: No meeting with this id" in err


async def test_the_doctor_says_what_is_wrong(tmp_path: Path) -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server:
        way = ["--target", server.address, "--key", SERVICE_KEY, "doctor"]
        code, out, err = await outcome(tmp_path, *way)
        assert code == 1
        assert "FAIL  queues" in out
        assert "dead letters in deliver, report" in out
        assert "1 check failed" in err
        gateway.desk.jobs.clear()
        code, out, _ = await outcome(tmp_path, *way)
        assert (code, out.splitlines()[-1]) == (0, "all is well")
    code, out, _ = await outcome(tmp_path, "--target", "127.0.0.1:1", "--key", "k", "doctor")
    assert code == 3
    assert "FAIL  gateway" in out
