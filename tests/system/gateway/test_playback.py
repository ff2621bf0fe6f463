"""A finished meeting in a real browser: its words are heard, its claims lead to sound, and it can be erased."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.ingest.v1 import meeting_service_pb2 as meetings
from tests.integration.gateway import interview
from tests.integration.gateway.interview import MEETING_ID
from tests.integration.gateway.scripted import Mesh, running_mesh
from tests.kit_server import eventually
from tests.system.gateway.browser import Page, browser
from tests.system.gateway.recording import recording

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

_AUDIO = "document.querySelector('#player audio')"


def word(ordinal: int, text: str) -> tuple[str, float]:
    """A word as a selector, and the second at which it was said."""
    segment = interview.segments()[ordinal - 1]
    at = next(n for n, one in enumerate(segment.words) if one.text == text)
    return f"#s-{segment.segment_id} [data-word='{at}']", segment.words[at].start_ms / 1000


async def playing_from(page: Page, second: float) -> None:
    await page.until("document.getElementById('player').dataset.state === 'playing'")
    await page.until(f"{_AUDIO}.currentTime >= {second} && {_AUDIO}.currentTime < {second + 10}")


async def opened(page: Page) -> None:
    for fact, value in (("segments", "15"), ("report", "true"), ("coverage", "true")):
        await page.until(f"document.body.dataset.{fact} === '{value}'")


def ranges(mesh: Mesh) -> list[str]:
    """Formats of the recordings that the room was asked for."""
    return [one.format for one in mesh.seen.requests if isinstance(one, meetings.GetAudioRequest)]


async def test_a_click_on_a_word_plays_it_and_the_word_is_marked_while_it_is_said(tmp_path: Path):
    async with running_mesh() as mesh, browser(tmp_path, "Anna", f"{mesh.url}/meetings/{MEETING_ID}") as anna:
        mesh.meetings.sound = recording()
        answers: list[Any] = []
        anna.page.on("response", lambda answer: answers.append(answer))
        await opened(anna)
        assert not ranges(mesh), "a recording is made when somebody wants to hear it"
        selector, second = word(6, "checksum.")
        await anna.page.click(selector)
        await playing_from(anna, second)
        await anna.until("document.querySelector('#s-s-6 .word.now') !== null")
        await anna.page.keyboard.press("Space")
        await anna.until("document.getElementById('player').dataset.state === 'paused'")
        assert set(ranges(mesh)) == {"opus"}
        assert 206 in [one.status for one in answers if "/audio" in one.url]

        selector, second = word(14, "production?")
        await anna.page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        await playing_from(anna, second)
        await anna.page.click("#player .play")
        await anna.page.focus("#scroll")
        await anna.page.keyboard.press("ArrowLeft")
        await anna.until("document.getElementById('player').dataset.state === 'playing'")
        before = word(14, "to")[1]
        assert before <= await anna.page.evaluate(f"{_AUDIO}.currentTime") < before + 5
        assert not anna.problems


async def test_evidence_leads_to_the_words_and_plays_them(tmp_path: Path):
    async with running_mesh() as mesh, browser(tmp_path, "Anna", f"{mesh.url}/meetings/{MEETING_ID}") as anna:
        mesh.meetings.sound = recording()
        await opened(anna)
        await anna.page.click(".evidence >> text=time zone")
        assert await anna.page.inner_text(".line.chosen mark") == (
            "The risk was the time zone logic, nobody had tested it before."
        )
        await playing_from(anna, word(6, "The")[1])
        # In the picture of the account, too: half-way is half-way.
        lane = anna.page.locator(".lane-box").first
        box = await lane.bounding_box()
        assert box is not None
        await lane.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
        await playing_from(anna, interview.DURATION_MS / 2000 - 1)
        assert not anna.problems


async def test_a_recording_that_is_gone_says_so_and_the_text_stays(tmp_path: Path):
    async with running_mesh() as mesh, browser(tmp_path, "Anna", f"{mesh.url}/meetings/{MEETING_ID}") as anna:
        await opened(anna)
        await anna.page.click("#player .play")  # the scripted room's recording is nothing that plays
        await anna.until("document.getElementById('player').dataset.state === 'failed'")
        assert await anna.page.inner_text("#player .problem") == "The recording cannot be played."
        assert await anna.page.evaluate("document.querySelectorAll('.line').length") == 15


async def test_erasing_asks_for_a_word_and_leaves_nothing_on_the_page(tmp_path: Path):
    async with running_mesh() as mesh, browser(tmp_path, "Anna", f"{mesh.url}/meetings/{MEETING_ID}") as anna:
        await opened(anna)
        await anna.page.click("#erase")
        assert await anna.page.is_disabled("#erase-dialog .stop")
        await anna.page.keyboard.type("eras")
        assert await anna.page.is_disabled("#erase-dialog .stop")
        await anna.page.keyboard.type("e")
        await anna.page.fill("#erase-dialog [name=reason]", "asked for")
        await anna.page.click("#erase-dialog .stop")
        await anna.until("document.body.dataset.phase === 'gone'")
        assert mesh.meetings.erased == {MEETING_ID}
        assert next(one for one in mesh.seen.requests if isinstance(one, meetings.DeleteMeetingRequest)).reason == (
            "asked for"
        )
        text = await anna.page.inner_text("main")
        assert "has been erased" in text
        assert "checksum" not in text
        assert "Mark" not in text
        await anna.page.reload()
        await anna.until("document.body.dataset.phase === 'gone'")
        assert "This meeting was erased." in await anna.page.inner_text("main")


async def test_a_live_meeting_is_seen_from_outside_the_call(tmp_path: Path):
    async with running_mesh() as mesh:
        mesh.meetings.known[MEETING_ID] = interview.meeting("live")
        async with browser(tmp_path, "Anna", f"{mesh.url}/meetings/{MEETING_ID}") as anna:
            await eventually(lambda: mesh.meetings.watchers == 1)
            await anna.until("document.querySelectorAll('.person').length === 2")
            say = meetings.InterimText(participant_id=interview.MARK, speaker="Mark Weber", stable_text="We kept")
            mesh.meetings.publish(meetings.WatchMeetingResponse(interim=say))
            await anna.until("document.querySelector('.interim .stable')?.textContent === 'We kept'")
            await anna.until("document.querySelector('.person.speaking .name').textContent === 'Mark Weber'")
            mesh.meetings.publish(meetings.WatchMeetingResponse(cursor=1, segment=interview.segments()[0]))
            update = meetings.CoverageUpdate(duration_ms=30_000, participants=interview.coverage(intervals=False))
            mesh.meetings.publish(meetings.WatchMeetingResponse(coverage=update))
            insight = meetings.LiveInsight(talk=interview.talk())
            mesh.meetings.publish(meetings.WatchMeetingResponse(insight=insight))
            await anna.until("document.querySelectorAll('.line:not(.interim)').length === 1")
            await anna.until("document.querySelectorAll('.account-bar').length === 2")
            await anna.until("document.querySelectorAll('.share').length === 2")
            await anna.page.click("#finish")
            await anna.page.click("#confirm-finish .stop")
            await anna.until("document.body.dataset.phase === 'over' && document.body.dataset.report === 'true'")
            assert await anna.page.is_visible("#player")
            assert not await anna.page.is_visible("#company")
            assert not anna.problems
