"""The demo from start to finish."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx2
from google.protobuf import json_format
from rich.console import Console

from agent.common.v1.report_pb2 import Report
from agent.common.v1.transcript_pb2 import ParticipantCoverage, Segment
from agent.connector.v1 import connector_service_pb2 as connector
from agent.connector.v1 import connector_service_pb2_grpc
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1 import meeting_service_pb2_grpc
from kit.lifecycle import Shutdown, StartError
from kit.rpc.client import open_channel
from kit.rpc.status import error_of
from mesh.child import ChildFailed
from mesh.demo import checks
from mesh.demo.caller import Caller, open_caller
from mesh.demo.checks import Heard
from mesh.demo.reference import Reference, read_reference
from mesh.demo.screen import Screen
from mesh.demo.summary import ParticipantSummary, Summary
from mesh.failures import leaves
from mesh.mesh import Mesh, open_mesh, why_it_failed

TITLES = {"en": "Sample interview", "ru": "Пример интервью"}
TAIL_SECONDS = 1.5  # the callers stay on the line a moment after their last word
REPORT_SECONDS = 60.0


@dataclass
class Call:
    """What came of the call."""

    meeting_id: str
    started_ms: int = 0
    heard: list[Heard] = field(default_factory=list)
    meeting: meetings.Meeting = field(default_factory=meetings.Meeting)
    accounts: Sequence[ParticipantCoverage] = ()
    report: Report = field(default_factory=Report)

    @property
    def segments(self) -> list[Segment]:
        """The finals in the order of their arrival."""
        return [final.segment for final in self.heard]

    @property
    def offset_ms(self) -> int:
        """Start of the callers' clock on the meeting's timeline, by the wall clocks of both."""
        return self.started_ms - self.meeting.start_time.ToMilliseconds()


async def run_demo(shutdown: Shutdown, language: str, output: Path, seconds: float | None = None) -> None:
    """Hold the call, show it, check it, write `output`.

    Raises:
        StartError: something could not be started, or the check failed; the sentences say what.
    """
    reference = read_reference(language, seconds)
    output.mkdir(parents=True, exist_ok=True)
    with Screen(Console()) as screen:
        work = asyncio.create_task(_hold(reference, output, screen), name="demo")
        stop = asyncio.create_task(shutdown.requested.wait(), name="demo.stop")
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
            raise StartError("stopped before the end of the call")
        summary = await work
    faults = summary.faults()
    if faults:
        raise StartError("the call is not sound: " + "; ".join(faults))


async def _hold(reference: Reference, output: Path, screen: Screen) -> Summary:
    begun = time.monotonic()
    environment = {"STT_PROVIDER": "demo", "AUTH_MODE": "api_key", "LOG_FORMAT": "json"}
    environment["GATEWAY_TLS_ENABLED"] = "false"  # a certificate is made for a name, and the callers have an address
    try:
        async with open_mesh(output / "data", free_ports=True, environment=environment, progress=screen.step) as mesh:
            ready = time.monotonic()
            call = await _call(mesh, reference, output, screen)
            ended = time.monotonic()
            await _results(mesh, call, output)
            built = time.monotonic()
            took = {"setup": ready - begun, "call": ended - ready, "report": built - ended}
            summary = _summary(mesh, reference, call, took)
    except* ChildFailed as failures:
        raise StartError(
            "; ".join(why_it_failed(f) for f in failures.exceptions if isinstance(f, ChildFailed))
        ) from None
    except* grpc.aio.AioRpcError as failures:
        errors = [error_of(failure) for failure in leaves(failures)]
        raise StartError("; ".join(f"{e.code.name}: {e.message}" for e in errors)) from None
    (output / "summary.json").write_text(json.dumps(summary.as_dict(), indent=2, ensure_ascii=False) + "\n")
    screen.coverage(list(call.accounts))
    screen.report(call.report)
    screen.summary(summary, str(output))
    return summary


async def _call(mesh: Mesh, reference: Reference, output: Path, screen: Screen) -> Call:
    """Two callers meet in a room, the recorder joins, they talk, the meeting is finished."""
    async with AsyncExitStack() as stack:
        ingest = await stack.enter_async_context(
            open_channel(mesh.room("ingest").address, api_key=mesh.keys.user, tls=mesh.tls)
        )
        service = await stack.enter_async_context(
            open_channel(mesh.room("connector").address, api_key=mesh.keys.service, tls=mesh.tls)
        )
        http = await stack.enter_async_context(_http(mesh))
        call = Call(await _start_meeting(http, reference))
        log = stack.enter_context((output / "callers.log").open("wb"))
        callers = [
            await stack.enter_async_context(
                open_caller(speaker, reference, gateway=mesh.url, room=call.meeting_id, key=mesh.keys.user, log=log)
            )
            for speaker in reference.speakers
        ]
        await _all_told(callers, "joined")
        await connector_service_pb2_grpc.ConnectorServiceStub(service).Join(
            connector.JoinRequest(meeting_id=call.meeting_id, language=reference.language), timeout=30
        )
        await _all_told(callers, "ready")
        screen.step(f"the recorder is in; {reference.seconds:.0f} s of conversation\n")
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(_watch(ingest, call, screen), name="demo.watch")
            call.started_ms = await _talk(callers, reference)
            # The recorder leaves before the callers do, so that everyone's track ends with the call.
            answer = await http.post(f"/v1/meetings/{call.meeting_id}/finish", json={})
            answer.raise_for_status()
            for caller in callers:
                await caller.tell("leave")
            async with asyncio.timeout(REPORT_SECONDS):
                await watching
    return call


async def _talk(callers: Sequence[Caller], reference: Reference) -> int:
    """Let the callers play their tracks at the same time; return the wall clock at their start, in ms."""
    for caller in callers:
        await caller.tell("start")
    starts = [int((await caller.told("started"))["time_ms"]) for caller in callers]
    for caller in callers:
        await caller.told("finished", reference.seconds + 30)
    await asyncio.sleep(TAIL_SECONDS)
    return min(starts)


async def _all_told(callers: Sequence[Caller], event: str) -> None:
    async with asyncio.TaskGroup() as tasks:
        for caller in callers:
            tasks.create_task(caller.told(event), name=f"demo.{caller.speaker.id}.{event}")


async def _watch(channel: grpc.aio.Channel, call: Call, screen: Screen) -> None:
    """Follow the meeting as any subscriber does, until its report is ready."""
    request = meetings.WatchMeetingRequest(meeting_id=call.meeting_id, interim=True)
    events = meeting_service_pb2_grpc.MeetingServiceStub(channel).WatchMeeting(request)
    try:
        async for event in events:
            match event.WhichOneof("event"):
                case "interim":
                    screen.interim(event.interim)
                case "segment":
                    call.heard.append(Heard(event.segment, round(time.time() * 1000)))
                    screen.final(event.segment)
                case "meeting":
                    call.meeting = event.meeting
    finally:
        events.cancel()


def _http(mesh: Mesh) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=mesh.url, headers={"X-API-Key": mesh.keys.user}, timeout=30, trust_env=False)


async def _start_meeting(http: httpx2.AsyncClient, reference: Reference) -> str:
    body = {
        "title": TITLES[reference.language],
        "mode": "realtime",
        "language": reference.language,
        "auto_join_connector": False,
    }
    answer = await http.post("/v1/meetings/start", json=body)
    answer.raise_for_status()
    return str(answer.json()["meeting_id"])


async def _results(mesh: Mesh, call: Call, output: Path) -> None:
    """Fetch coverage, report and artifacts as a REST client does, and write the files."""
    async with _http(mesh) as http:
        base = f"/v1/meetings/{call.meeting_id}"
        coverage = await http.get(f"{base}/coverage")
        report = await http.get(f"{base}/report")
        transcript = await http.get(f"{base}/artifact", params={"kind": "clean", "fmt": "json"})
        markdown = await http.get(f"{base}/artifact", params={"kind": "report", "fmt": "md"})
    for answer in (coverage, report, transcript, markdown):
        if answer.is_error:
            raise StartError(f"{answer.url.path}: {answer.status_code} {answer.text[:300]}")
    call.accounts = json_format.ParseDict(coverage.json(), meetings.GetCoverageResponse()).participants
    call.report = json_format.ParseDict(report.json()["report"], Report())
    (output / "transcript.json").write_bytes(transcript.content)
    (output / "report.json").write_bytes(report.content)
    (output / "report.md").write_bytes(markdown.content)


def _summary(mesh: Mesh, reference: Reference, call: Call, took: dict[str, float]) -> Summary:
    participants, latencies, misattributed = [], [], 0
    for account in call.accounts:
        name = account.display_name
        speaker = next((s for s in reference.speakers if s.name == name), None)
        written = [segment for segment in call.segments if segment.speaker == name]
        totals = checks.coverage_ms(account)
        if speaker is None:
            raise StartError(f"the transcript names {name!r}, who was not in the call")
        wer = checks.word_error_rate(reference.said_by(speaker), written)
        participants.append(ParticipantSummary(name, speaker.language, totals, round(wer, 4)))
        heard = [final for final in call.heard if final.segment.speaker == name]
        latencies += checks.final_latencies(name, heard, reference, call.started_ms, call.offset_ms)
        misattributed += checks.misattributed_words(name, written, reference, call.offset_ms)
    total, sound = checks.claims_with_evidence(call.report, call.segments)
    first = call.segments[0] if call.segments else Segment()
    return Summary(
        call_seconds=call.meeting.duration_ms / 1000,
        participants=participants,
        segments=len(call.segments),
        engine=first.engine,
        model=first.model,
        final_latency_ms=checks.percentiles(latencies),
        misattributed_words=misattributed,
        claims={"total": total, "with_evidence": sound},
        processes=mesh.pids,
        seconds={step: round(spent, 2) for step, spent in took.items()},
    )
