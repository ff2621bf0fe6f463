"""Two people with browsers and microphones in a call of the real mesh, recorded by the real recorder."""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google.protobuf import json_format
from rapidfuzz.distance import Levenshtein

from agent.common.v1.report_pb2 import Report
from agent.common.v1.transcript_pb2 import CoverageKind, ParticipantCoverage, Segment
from agent.ingest.v1 import meeting_service_pb2 as meetings
from kit.ids import new_id
from mesh.child import ChildFailed
from mesh.demo.checks import claims_with_evidence, coverage_ms, words
from mesh.demo.reference import Reference, read_reference
from mesh.failures import leaves
from mesh.mesh import Mesh, open_mesh, why_it_failed
from tests.system.mesh.person import Person, open_person
from tests.system.mesh.voices import write_voice

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

LANGUAGE = "en"
LEAD_SECONDS = 10.0  # for joining: nobody speaks before the recorder hears them
SETTLE_SECONDS = 60.0  # for the last words to settle and the report to be built, on a machine that is busy
LEAST_RECALL = 0.9
BUILD = Path(__file__).resolve().parents[3] / "build"
_TEXTS = """
[...document.querySelectorAll('.line')].map((line) => [line.dataset.segment, line.querySelector('.said').textContent])
"""
_QUOTES = """
[...document.querySelectorAll('.evidence')].map((one) => [one.dataset.segment, one.querySelector('q').textContent])
"""
_CLAIMS = """
[...document.querySelectorAll('.claim')].map((claim) => [claim.innerText,
  [...claim.querySelectorAll('.evidence')].map((one) => [one.dataset.segment, one.querySelector('q').textContent])])
"""


@dataclass
class Call:
    """A call that has begun: both people are in, and the recorder hears both."""

    mesh: Mesh
    meeting_id: str
    alice: Person
    ben: Person

    async def coverage(self) -> meetings.GetCoverageResponse:
        """The account of the meeting as REST tells it."""
        return json_format.ParseDict(await self._get("coverage"), meetings.GetCoverageResponse())

    async def report(self) -> Report:
        """The report as REST tells it."""
        return json_format.ParseDict((await self._get("report"))["report"], Report())

    async def _get(self, what: str) -> Any:
        headers = {"X-API-Key": self.mesh.keys.user}
        async with httpx2.AsyncClient(base_url=self.mesh.url, headers=headers, trust_env=False) as http:
            answer = await http.get(f"/v1/meetings/{self.meeting_id}/{what}")
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def open_call(tmp_path: Path, seconds: float) -> AsyncIterator[Call]:
    """Start a mesh; Alice starts a meeting from the list, and both join it and say the first `seconds`."""
    playwright = pytest.importorskip("playwright.async_api")
    data = BUILD / f"system-{new_id()}"  # PostgreSQL changes its user and cannot enter a private temporary directory
    try:
        async with AsyncExitStack() as stack:
            environment = {"STT_PROVIDER": "demo", "AUTH_MODE": "api_key"}
            mesh = await stack.enter_async_context(open_mesh(data, free_ports=True, environment=environment))
            driver = await stack.enter_async_context(playwright.async_playwright())
            people = []
            for speaker in read_reference(LANGUAGE).speakers:
                voice = tmp_path / f"{speaker.id}.wav"
                write_voice(voice, LANGUAGE, speaker.id, lead_seconds=LEAD_SECONDS, seconds=seconds)
                browser = open_person(driver, tmp_path / speaker.id, speaker.name, voice)
                people.append(await stack.enter_async_context(browser))
            yield await begin(mesh, *people)
            for person in people:
                assert not person.problems, person.name
    except* ChildFailed as failures:  # its log goes with the data
        raise AssertionError([why_it_failed(failure) for failure in leaves(failures)]) from None
    finally:
        shutil.rmtree(data, ignore_errors=True)


async def start_meeting(mesh: Mesh, alice: Person) -> str:
    """Let Alice start a meeting from the list; returns the link to its room, where her page is now."""
    await alice.page.goto(mesh.url)
    await alice.sign_in(mesh.keys.user)
    await alice.until("document.querySelector('#signal.ok') !== null")
    await alice.page.fill("[name=title]", "Backend engineer, first interview")
    await alice.page.select_option("[name=language]", LANGUAGE)
    await alice.page.click("#start button")
    await alice.page.wait_for_url("**/rooms/*")
    return str(alice.page.url)


async def begin(mesh: Mesh, alice: Person, ben: Person) -> Call:
    """Let Alice start the meeting and share its link; both join, and the recorder is there."""
    link = await start_meeting(mesh, alice)
    await ben.page.goto(link)
    await ben.sign_in(mesh.keys.user)
    async with asyncio.TaskGroup() as tasks:  # at the same time, so that they speak in turn
        for person in (alice, ben):
            tasks.create_task(person.enter(link), name=f"test.{person.name}")
    for person in (alice, ben):
        await person.until("agentRoom.recorderVisible && agentRoom.connected === 2")
        assert await person.voice_seconds() < LEAD_SECONDS, f"{person.name} was not heard from the first word"
    return Call(mesh, link.rsplit("/", 1)[1], alice, ben)


def said_by(reference: Reference, name: str, *, until_seconds: float, after_seconds: float = 0.0) -> list[str]:
    """The words that somebody began to say within a time of the interview."""
    speaker = next(one for one in reference.speakers if one.name == name)
    return [
        word
        for utterance in reference.said_by(speaker)
        if after_seconds <= utterance.start_ms / 1000 < until_seconds
        for word in words(utterance.text)
    ]


def recall(expected: Sequence[str], lines: Sequence[tuple[str, str]], name: str) -> float:
    """Share of the expected words that stand under a name, in their order."""
    found = [word for speaker, text in lines if speaker == name for word in words(text)]
    same = [step for step in Levenshtein.opcodes(expected, found) if step.tag == "equal"]
    return sum(step.src_end - step.src_start for step in same) / len(expected)


async def written(reader: Person, name: str, expected: Sequence[str], seconds: float = SETTLE_SECONDS) -> None:
    """Wait until the words stand under the name in the reader's page."""
    assert expected
    for _ in range(round(seconds / 0.25)):
        if recall(expected, await reader.lines(), name) >= LEAST_RECALL:
            return
        await asyncio.sleep(0.25)
    lines = await reader.lines()
    raise AssertionError(f"{recall(expected, lines, name):.0%} of {expected} stand under {name}: {lines}")


async def finish(person: Person) -> None:
    """Finish the meeting through the page and wait for its report."""
    await person.page.click("#finish")
    await person.page.click("#confirm-finish .stop")
    await person.until("agentRoom.state === 'finished' && agentRoom.reportReady", SETTLE_SECONDS)


def assert_exact(coverage: meetings.GetCoverageResponse) -> None:
    """Every millisecond of everybody stands in the account once."""
    assert coverage.duration_ms > 0
    for participant in coverage.participants:
        totals = coverage_ms(participant)
        assert sum(totals.values()) + participant.absent_ms == coverage.duration_ms, participant.display_name
        assert totals["pending"] == 0, participant.display_name
        assert sum(span.end_ms - span.start_ms for span in participant.intervals) == sum(totals.values())
        for before, after in itertools.pairwise(participant.intervals):
            assert before.end_ms <= after.start_ms, participant.display_name


def account_of(coverage: meetings.GetCoverageResponse, name: str) -> ParticipantCoverage:
    """Somebody's account; one person has one account."""
    (account,) = (one for one in coverage.participants if one.display_name == name)
    return account


async def test_a_call_is_transcribed_live_and_ends_in_a_report_with_evidence(tmp_path: Path):
    reference = read_reference(LANGUAGE)
    async with open_call(tmp_path, 45.5) as call:
        alice, ben = call.alice, call.ben
        await ben.interim_of(alice.name)
        assert await ben.fact("agentRoom.finals") == 0, "what may still change comes before what does not"
        await alice.interim_of(ben.name)
        await alice.said(LEAD_SECONDS + 35.5)
        await mute_over_a_question(call)
        for reader in (alice, ben):
            await written(reader, alice.name, said_by(reference, alice.name, until_seconds=35))
            await written(reader, ben.name, said_by(reference, ben.name, until_seconds=45))
        lines = await ben.lines()
        assert not {"hard", "problem"} & {word for name, text in lines if name == alice.name for word in words(text)}
        await finish(alice)
        await ben.until("agentRoom.state === 'finished' && agentRoom.reportReady")
        coverage = await call.coverage()
        assert_exact(coverage)
        muted = [
            span for span in account_of(coverage, alice.name).intervals if span.kind == CoverageKind.COVERAGE_KIND_MUTED
        ]
        assert sum(span.end_ms - span.start_ms for span in muted) > 5_000
        assert not account_of(coverage, ben.name).coverage_ms.muted
        await read_report(call)


async def mute_over_a_question(call: Call) -> None:
    """Alice mutes herself while she asks what the hard problem was; Ben sees it, and nobody hears it."""
    alice, ben = call.alice, call.ben
    await alice.page.click("#mute")
    await ben.until(f"document.querySelector('.person[data-muted=true] .name')?.textContent === '{alice.name}'")
    await alice.said(LEAD_SECONDS + 42)
    await alice.page.click("#mute")
    await ben.until("document.querySelector('.person[data-muted=true]') === null")
    for reader in (alice, ben):
        assert await reader.muted_ms(alice.name) > 0, "the account of the call so far has it already"


async def read_report(call: Call) -> None:
    """Alice opens the report; every claim leads to the words that it rests on."""
    alice = call.alice
    lines = await alice.lines()
    await alice.page.click("#open-report")
    await alice.page.wait_for_url("**/meetings/*")
    await alice.until("document.body.dataset.report === 'true' && document.body.dataset.coverage === 'true'")
    await alice.until(f"document.body.dataset.segments === '{len(lines)}'")
    assert sorted(await alice.lines()) == sorted(lines), "what was read in the call is what is kept"
    assert await alice.fact("document.querySelectorAll('.lane').length") == 2
    texts = dict(await alice.fact(_TEXTS))
    total, sound = claims_with_evidence(
        await call.report(), [Segment(segment_id=segment, text=text) for segment, text in texts.items()]
    )
    assert total == sound > 0
    claims = await alice.fact(_CLAIMS)
    assert claims
    for claim, quotes in claims:
        assert quotes, f"no quotation: {claim}"
        for segment, quote in quotes:
            assert quote in texts[segment]
    for number, (segment, quote) in enumerate(await alice.fact(_QUOTES)):
        await alice.page.click(f".evidence >> nth={number}")
        assert await alice.page.inner_text(".line.chosen mark") == quote
        assert await alice.page.get_attribute(".line.chosen", "data-segment") == segment


async def test_the_call_goes_on_when_a_browser_dies(tmp_path: Path):
    reference = read_reference(LANGUAGE)
    async with open_call(tmp_path, 35.2) as call:
        alice, ben = call.alice, call.ben
        await written(alice, ben.name, said_by(reference, ben.name, until_seconds=6))
        ben.kill()
        await alice.until("document.querySelector('.person.gone .name')?.textContent.startsWith('Ben Carter')")
        since = await alice.voice_seconds() - LEAD_SECONDS
        later = said_by(reference, alice.name, after_seconds=since, until_seconds=35)
        assert len(later) >= 16, f"{since:.1f} s into the interview there is too little left to hear"
        await written(alice, alice.name, said_by(reference, alice.name, until_seconds=35))
        await finish(alice)
        coverage = await call.coverage()
        assert_exact(coverage)
        gone, stayed = account_of(coverage, ben.name), account_of(coverage, alice.name)
        assert gone.coverage_ms.transcribed > 0
        assert gone.absent_ms > stayed.absent_ms
        assert stayed.coverage_ms.transcribed > gone.coverage_ms.transcribed
        await read_report(call)
