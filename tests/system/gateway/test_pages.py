"""The pages in a real browser, before a mesh whose rooms are scripted."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from agent.ingest.v1 import meeting_service_pb2 as meetings
from tests.integration.gateway import interview
from tests.integration.gateway.interview import MEETING_ID
from tests.integration.gateway.scripted import SERVICE_KEY, USER_KEY, Mesh, running_mesh
from tests.kit_server import eventually
from tests.system.gateway.browser import Page, browser, picture

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

_SENDING = """
window.connections.filter((one) => one.signalingState !== 'closed')
  .flatMap((one) => one.getSenders()).filter((one) => one.track).map((one) => one.track.kind)
"""


async def test_the_list_shows_meetings_and_starts_one(tmp_path: Path):
    async with running_mesh() as mesh, browser(tmp_path, "Anna", mesh.url, locale="ru-RU") as anna:
        await anna.until("document.querySelectorAll('.row').length === 1")
        await anna.until("document.querySelector('#signal.ok') !== null")
        assert await anna.page.evaluate("document.documentElement.lang") == "ru"
        await anna.page.fill("[name=title]", "Первое интервью")
        await anna.page.keyboard.press("Enter")
        await anna.page.wait_for_url("**/rooms/*")
        assert mesh.meetings.known[next(reversed(mesh.meetings.known))].title == "Первое интервью"
        assert not anna.problems


async def test_a_claim_leads_to_the_words_it_rests_on(tmp_path: Path):
    async with running_mesh() as mesh, browser(tmp_path, "Anna", f"{mesh.url}/meetings/{MEETING_ID}") as anna:
        for fact, value in (("segments", "15"), ("report", "true"), ("coverage", "true")):
            await anna.until(f"document.body.dataset.{fact} === '{value}'")
        assert await anna.page.evaluate("document.querySelectorAll('.lane').length") == 2
        await anna.page.click(".evidence >> text=checksum")
        assert await anna.page.inner_text(".line.chosen mark") == "We compared every invoice by checksum."
        assert (await anna.page.evaluate("location.hash")) == "#s-s-6"
        async with anna.page.expect_download() as download:
            await anna.page.click(".downloads button")
            await anna.page.click(".menu button >> nth=0")
        assert (await download.value).suggested_filename == f"{MEETING_ID}-raw.txt"
        await anna.until("document.body.dataset.deliveries === '3'")
        assert "HTTP 503" in await anna.page.inner_text("[data-delivery=d-2]")
        await sign_in(anna, SERVICE_KEY)
        await anna.page.click("[data-delivery=d-2] button")
        await anna.until("document.querySelector('[data-delivery=d-2] .pill').textContent === 'sent'")
        assert mesh.seen.requests[-1].meeting_id == MEETING_ID
        assert not anna.problems
        await sign_in(anna, USER_KEY)
        await anna.page.click("[data-delivery=d-1] button")
        await anna.until("document.querySelector('[data-delivery=d-1] [role=status]') !== null")
        assert "Only an operator's key" in await anna.page.inner_text("[data-delivery=d-1]")


async def sign_in(page: Page, key: str) -> None:
    await page.page.evaluate(f"sessionStorage.setItem('agent.key', {json.dumps(key)})")


async def test_two_people_hear_each_other_and_see_the_recorder(tmp_path: Path):
    async with running_mesh() as mesh:
        mesh.meetings.known[MEETING_ID] = interview.meeting("live")
        url = f"{mesh.url}/rooms/{MEETING_ID}"
        async with browser(tmp_path, "Anna", url) as anna, browser(tmp_path, "Mark", url) as mark:
            for page in (anna, mark):
                await page.until("document.getElementById('microphone-hint').textContent.length > 0")
                await page.page.click("#join-button")
                await page.until("agentRoom.joined")
            for page, other in ((anna, "Mark"), (mark, "Anna")):
                await page.until("agentRoom.connected === 1", 30)
                await page.until(loud(other))
            async with recorder(mesh):
                for page in (anna, mark):
                    await page.until("agentRoom.recorderVisible")
                    assert "rec-dot" in await page.page.inner_html("#recording")
            await mark.page.keyboard.press("m")
            await anna.until("document.querySelector('.person[data-muted=true] .name')?.textContent.startsWith('Mark')")
            await speak(mesh, anna)
            await finish(mesh, anna, mark)
            assert not anna.problems + mark.problems


def loud(name: str) -> str:
    """Whether somebody's level moves."""
    return (
        "[...document.querySelectorAll('.person')].some((one) => "
        f"one.querySelector('.name').textContent.startsWith('{name}') && "
        "Number(one.style.getPropertyValue('--level')) > 0.2)"
    )


@asynccontextmanager
async def recorder(mesh: Mesh) -> AsyncIterator[None]:
    async with connect(mesh.ws(f"/v1/rooms/{MEETING_ID}/signal")) as socket:
        join = {"type": "join", "name": "Recorder", "role": "recorder", "token": SERVICE_KEY}
        await socket.send(json.dumps(join))
        yield


async def speak(mesh: Mesh, page: Page) -> None:
    first, second = interview.segments()[:2]
    mesh.meetings.publish(
        meetings.WatchMeetingResponse(interim=meetings.InterimText(participant_id="p-anna", stable_text="Thanks"))
    )
    await page.until("document.querySelectorAll('.interim').length === 1")
    mesh.meetings.publish(meetings.WatchMeetingResponse(cursor=2, segment=second))
    mesh.meetings.publish(meetings.WatchMeetingResponse(cursor=1, segment=first))
    await page.until("agentRoom.finals === 2")
    assert await page.page.evaluate("document.querySelectorAll('.interim').length") == 0
    assert await page.page.evaluate(
        "[...document.querySelectorAll('.transcript .line')].map((l) => l.dataset.segment)"
    ) == [
        "s-1",
        "s-2",
    ], "lines stand in the order in which they were said"


async def finish(mesh: Mesh, one: Page, other: Page) -> None:
    await one.page.click("#finish")
    await one.page.click("#confirm-finish .stop")
    for page in (one, other):
        await page.until("agentRoom.state === 'finished' && agentRoom.reportReady")
        assert await page.page.get_attribute("#open-report", "href") == f"/meetings/{MEETING_ID}"
    assert mesh.meetings.known[MEETING_ID].state == "finished"


async def test_who_withdraws_sees_it_sends_the_recorder_nothing_and_may_be_recorded_again(tmp_path: Path):
    async with running_mesh() as mesh:
        mesh.meetings.known[MEETING_ID] = interview.meeting("live")
        phone = {"viewport": {"width": 390, "height": 780}, "color_scheme": "dark"}
        async with (
            browser(tmp_path, "Anna", f"{mesh.url}/rooms/{MEETING_ID}", **phone) as anna,
            connect(mesh.ws(f"/v1/rooms/{MEETING_ID}/signal")) as recorder,
        ):
            await anna.until("document.getElementById('microphone-hint').textContent.length > 0")
            await anna.page.click("#join-button")
            await anna.until("agentRoom.joined")
            assert "Nothing is recorded yet" in await anna.page.inner_text("#banner")
            await tell(recorder, "join", name="Recorder", role="recorder", token=SERVICE_KEY)
            own = (await hear(recorder, "joined"))["peers"][0]["id"]
            await tell(recorder, "chat", text="You are <b>recorded</b>.", to=own)
            await anna.until("agentRoom.lines === 1")
            banner = await anna.page.inner_text("#banner")
            assert banner == "Recorder is recording this call. You are <b>recorded</b>."
            assert await anna.page.inner_text("#chat-badge") == "1"
            await anna.page.click("[data-tab=chat]")
            assert not await anna.page.is_visible("#chat-badge")
            assert await anna.page.inner_text(".notice-line .chat-text") == "You are <b>recorded</b>."
            await anna.page.fill("#chat-text", "I see")
            await anna.page.keyboard.press("Enter")
            await anna.until("agentRoom.lines === 2")
            await anna.page.click("#record")
            assert not await anna.page.evaluate("agentRoom.recorded"), "at once, whatever the room's answer takes"
            await anna.until(f"({_SENDING.strip()}).length === 0")  # a browser takes a track away beside the page
            while (await hear(recorder, "peer-updated"))["peer"]["recording"]:
                pass
            assert "You are not recorded" in await anna.page.inner_text("#banner")
            assert await anna.page.get_attribute("#record", "aria-pressed") == "true"
            await anna.page.click("[data-tab=people]")
            await anna.until("document.querySelector('.person[data-recording=false] .withdrawn-mark svg') !== null")
            await picture(anna, "withdrawn-phone")
            await anna.page.click("#record")
            await anna.until("agentRoom.recorded")
            await anna.until(f"({_SENDING.strip()}).join() === 'audio'")
            await tell(recorder, "consent", recording=False, target=own)
            await anna.until("!agentRoom.recorded")
            await anna.until(f"({_SENDING.strip()}).length === 0")
            assert not anna.problems


async def tell(socket: Any, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"v": 1, "type": kind, **fields}))


async def hear(socket: Any, kind: str) -> dict[str, Any]:
    """Wait for a message of a kind."""
    while True:
        message: dict[str, Any] = json.loads(await socket.recv())
        if message["type"] == kind:
            return message


async def test_a_call_without_a_recorder_says_so_and_why(tmp_path: Path):
    async with running_mesh() as mesh:
        mesh.meetings.known[MEETING_ID] = interview.meeting("live")
        async with browser(tmp_path, "Anna", f"{mesh.url}/rooms/{MEETING_ID}") as anna:
            await anna.page.evaluate(
                f"sessionStorage.setItem('agent.recorder-problem.{MEETING_ID}', 'the connector is full')"
            )
            await anna.until("document.getElementById('microphone-hint').textContent.length > 0")
            await anna.page.check("#unrecorded")
            await anna.page.click("#join-button")
            await anna.until("agentRoom.joined")
            assert await anna.page.inner_text("#banner") == (
                "Nothing is being recorded: the recorder is not in the call. the connector is full"
            )
            assert not await anna.page.evaluate("agentRoom.recorded")
            async with recorder(mesh):
                await anna.until("agentRoom.recorderVisible")
                assert "You are not recorded" in await anna.page.inner_text("#banner")


async def test_a_warning_stands_on_the_page_until_it_is_over(tmp_path: Path):
    async with running_mesh() as mesh:
        mesh.meetings.known[MEETING_ID] = interview.meeting("live")
        wrong = meetings.MeetingWarning(kind="silent_capture", participant_id=interview.MARK, since_ms=83_000)
        async with (
            browser(tmp_path, "Anna", f"{mesh.url}/rooms/{MEETING_ID}") as room,
            browser(tmp_path, "Mark", f"{mesh.url}/meetings/{MEETING_ID}", locale="ru-RU") as page,
        ):
            await room.until("document.getElementById('microphone-hint').textContent.length > 0")
            await room.page.click("#join-button")
            await room.until("agentRoom.joined")
            await page.until("document.body.dataset.coverage === 'true'")
            await eventually(lambda: mesh.meetings.watchers == 2)
            for each in interview.meeting("live").participants:
                mesh.meetings.publish(meetings.WatchMeetingResponse(participant=each))
            mesh.meetings.publish(meetings.WatchMeetingResponse(warning=wrong))
            for one in (room, page):
                await one.until("document.body.dataset.warnings === '1'")
            await picture(room, "warning-room")
            await picture(page, "warning-meeting")
            assert "Nothing but digital silence comes from Mark Weber" in await room.page.inner_text("#warnings")
            assert "От участника Mark Weber идёт только цифровая тишина" in await page.page.inner_text("#warnings")
            assert "с 1:23" in await page.page.inner_text("#warnings")
            heard = meetings.Levels(
                participants=[
                    meetings.ParticipantLevel(participant_id=interview.ANNA, level=96),
                    meetings.ParticipantLevel(participant_id=interview.MARK),
                ]
            )
            mesh.meetings.publish(meetings.WatchMeetingResponse(levels=heard))
            await page.until(loud("Anna"))
            assert not await page.page.evaluate(loud("Mark"))
            await page.until(f"!({loud('Anna')})")  # nobody was heard for a second
            wrong.cleared = True
            mesh.meetings.publish(meetings.WatchMeetingResponse(warning=wrong))
            for one in (room, page):
                await one.until("document.body.dataset.warnings === '0'")
                assert not await one.page.is_visible("#warnings")
            assert not room.problems + page.problems
