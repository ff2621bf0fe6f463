"""A call that changes under way: Ben comes late, and Alice's browser sends nothing for a while without a word."""

import asyncio
import io
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import numpy as np
import pytest

from agent.common.v1.transcript_pb2 import CoverageInterval, CoverageKind, ParticipantCoverage
from agent.ingest.v1 import meeting_service_pb2 as meetings
from kit.ids import new_id
from mesh.demo.reference import Utterance, read_reference
from mesh.mesh import open_mesh
from tests.integration.connector.harness import place_of
from tests.system.mesh.person import Moment, Person, open_person
from tests.system.mesh.test_call import (
    BUILD,
    LANGUAGE,
    SETTLE_SECONDS,
    Call,
    account_of,
    assert_exact,
    start_meeting,
)
from tests.system.mesh.voices import Samples, read_sound, write_brisk_voice

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

RATE = 16_000
PAUSE_SECONDS = 0.5
COMES_LATE, HEARD_BEFORE, SENDS_NOTHING, HEARD_AFTER = 6.0, 6.0, 4.0, 8.0  # seconds
EDGE_SECONDS = 0.5  # a sentence counts as said before or after something if there is at least this between them
NEAR_SECONDS = 2.0  # as far as a sentence is looked for around its place
LEAST_LIKENESS = 0.6  # of a sentence that went through noise suppression and Opus
LEAST_TEXT = 0.6  # of the time in which something was said
NOTHING = {CoverageKind.COVERAGE_KIND_LOST, CoverageKind.COVERAGE_KIND_SILENT}


async def test_who_comes_late_and_what_stops_for_a_while_stand_where_they_belong(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    data = BUILD / f"system-{new_id()}"  # PostgreSQL changes its user and cannot enter a private temporary directory
    try:
        async with AsyncExitStack() as stack:
            environment = {"STT_PROVIDER": "demo", "AUTH_MODE": "api_key"}
            mesh = await stack.enter_async_context(open_mesh(data, free_ports=True, environment=environment))
            driver = await stack.enter_async_context(playwright.async_playwright())
            people, sentences = [], []
            for speaker in read_reference(LANGUAGE).speakers:
                voice = tmp_path / f"{speaker.id}.wav"
                sentences.append(write_brisk_voice(voice, LANGUAGE, speaker.id, pause_seconds=PAUSE_SECONDS, rounds=2))
                browser = open_person(driver, tmp_path / speaker.id, speaker.name, voice)
                people.append(await stack.enter_async_context(browser))
            alice, ben = people
            link = await start_meeting(mesh, alice)
            call = Call(mesh, link.rsplit("/", 1)[1], alice, ben)
            await ben.page.goto(mesh.url)
            await ben.sign_in(mesh.keys.user)

            await alice.enter(link)
            await alice.until("agentRoom.recorderVisible && agentRoom.connected === 1")
            await alice.keep_sender()
            heard = await alice.moment()
            await passed(alice, heard, COMES_LATE)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ben.enter(link), name="test.ben")
                came = await alice.moment("agentRoom.peers === 2")
            await ben.until("agentRoom.recorderVisible && agentRoom.connected === 2")
            await passed(alice, came, HEARD_BEFORE)
            stopping, stopped = await alice.send_to_recorder(False)
            await passed(alice, stopped, SENDS_NOTHING)
            resuming, resumed = await alice.send_to_recorder(True)
            await passed(alice, resumed, HEARD_AFTER)
            before = list(said(sentences[0], heard, stopping))
            after = list(said(sentences[0], resumed, await alice.moment()))
            for person in people:
                await person.fact("document.querySelector('#leave').click()")
                await person.until("agentRoom.state === 'left'")
                assert not person.problems, person.name

            coverage = await finished(call)
            assert_exact(coverage)
            alices, bens = account_of(coverage, alice.name), account_of(coverage, ben.name)
            sound = await recording(call, alices.participant_id)
            said_by_alice = read_sound(str(tmp_path / "alice.wav"), RATE)
            begun = places(before, said_by_alice, sound, near=place_of_all(before, said_by_alice, sound))[-1]
            begun_after = places(after, said_by_alice, sound, near=begun)[0]
            # What the microphone fell behind the clock meanwhile is no fault of the recorder's.
            fell_behind = (resumed.clock - stopping.clock) - (resumed.voice - stopping.voice)
            assert begun_after - begun == pytest.approx(fell_behind, abs=0.15)

            assert bens.intervals[0].start_ms / 1000 == pytest.approx(came.voice + begun, abs=1)
            last_ms = coverage.duration_ms - bens.intervals[-1].end_ms
            assert bens.absent_ms == bens.intervals[0].start_ms + last_ms
            assert bens.coverage_ms.transcribed > 0

            lost = max((span for span in alices.intervals if span.kind in NOTHING), key=length_ms)
            start, end = lost.start_ms / 1000, lost.end_ms / 1000
            assert stopping.voice - EDGE_SECONDS < start - begun < stopped.voice + EDGE_SECONDS
            assert resuming.voice - EDGE_SECONDS < end - begun_after < resumed.voice + EDGE_SECONDS
            assert not transcribed(
                alices, stopped.voice + begun + EDGE_SECONDS, resuming.voice + begun_after - EDGE_SECONDS
            )
            silence = sound[round(start * RATE) + RATE // 1000 : round(end * RATE) - RATE // 1000]  # rounded to ms
            assert not np.count_nonzero(silence)
            for sentences_heard, place in ((before, begun), (after, begun_after)):
                spoken = [(place + one.start_ms / 1000, place + one.end_ms / 1000) for one in sentences_heard]
                text = sum(transcribed(alices, start, end) for start, end in spoken)
                assert text > LEAST_TEXT * sum(end - start for start, end in spoken), alices
    finally:
        shutil.rmtree(data, ignore_errors=True)


async def passed(person: Person, since: Moment, seconds: float) -> None:
    """Wait until so much time has passed in somebody's browser."""
    await asyncio.sleep(max(0.0, since.clock + seconds - (await person.moment()).clock))


def said(sentences: Iterable[Utterance], start: Moment, end: Moment) -> Iterator[Utterance]:
    """Yield the sentences that were said as a whole between two moments."""
    for sentence in sentences:
        first, last = start.voice + EDGE_SECONDS, end.voice - EDGE_SECONDS
        if first <= sentence.start_ms / 1000 and sentence.end_ms / 1000 <= last:
            yield sentence


async def finished(call: Call) -> meetings.GetCoverageResponse:
    """Finish the meeting that everybody has left; returns its account once nothing in it is pending."""
    async with _api(call) as http:
        answer = await http.post(f"/v1/meetings/{call.meeting_id}/finish", json={})
        assert answer.status_code == 200, answer.text
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            coverage = await call.coverage()
            if not any(participant.coverage_ms.pending for participant in coverage.participants):
                return coverage
            await asyncio.sleep(0.25)


async def recording(call: Call, participant_id: str) -> Samples:
    """Fetch the master of somebody's voice, once it is put away: 16 kHz, from the meeting's first sample."""
    wishes = {"format": "flac", "participant_id": participant_id}
    async with _api(call) as http, asyncio.timeout(SETTLE_SECONDS):
        while True:
            answer = await http.get(f"/v1/meetings/{call.meeting_id}/audio", params=wishes)
            if answer.status_code == 200:
                return read_sound(io.BytesIO(answer.content), RATE)
            assert answer.status_code in (404, 409), answer.text
            await asyncio.sleep(0.25)


def _api(call: Call) -> httpx2.AsyncClient:
    headers = {"X-API-Key": call.mesh.keys.user}
    return httpx2.AsyncClient(base_url=call.mesh.url, headers=headers, trust_env=False)


def place_of_all(sentences: Sequence[Utterance], voice: Samples, recorded: Samples) -> float:
    """Find sentences that follow each other as a whole, wherever they are; see `places`."""
    first, last = sentences[0].start_ms * RATE // 1000, sentences[-1].end_ms * RATE // 1000
    return (place_of(np.diff(voice[first:last].astype(float)), np.diff(recorded.astype(float)))[0] - first) / RATE


def places(sentences: Iterable[Utterance], voice: Samples, recorded: Samples, near: float) -> list[float]:
    """Return where a voice's file begins on a recording's time, in seconds, as each of these sentences has it.

    The steps from sample to sample are compared: they are strong where speech is distinct. A sentence in which a busy
    machine cost the browser's microphone some samples is left out.

    Args:
        sentences: what to look for, one by one.
        voice: what the microphone hears, at 16 kHz.
        recorded: where it is looked for, at 16 kHz.
        near: about where the file begins.
    """
    found = []
    for sentence in sentences:
        first, last = sentence.start_ms * RATE // 1000, sentence.end_ms * RATE // 1000
        begin, end = (round((near + edge) * RATE) for edge in (-NEAR_SECONDS, NEAR_SECONDS))
        begin = max(0, first + begin)
        said_steps, steps = (np.diff(one.astype(float)) for one in (voice[first:last], recorded[begin : last + end]))
        place, likeness = place_of(said_steps, steps)
        if likeness > LEAST_LIKENESS:
            found.append((begin + place - first) / RATE)
    assert found, "the recording has nothing of what was said"
    return found


def length_ms(span: CoverageInterval) -> int:
    """How long a span is."""
    return span.end_ms - span.start_ms


def transcribed(account: ParticipantCoverage, start: float, end: float) -> float:
    """How much of a time, in seconds, stands in the transcript."""
    spans = [span for span in account.intervals if span.kind == CoverageKind.COVERAGE_KIND_TRANSCRIBED]
    return sum(max(0.0, min(end, span.end_ms / 1000) - max(start, span.start_ms / 1000)) for span in spans)
