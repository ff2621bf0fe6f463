"""The pages in a real browser, before a mesh whose rooms are scripted."""

import json
import math
import struct
import wave
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

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

CHROMIUM = "/usr/bin/chromium"
PICTURES = Path("build/pictures")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
)


class Page:
    """A browser's page; everything that went wrong in it is in `problems`."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda message: self._note(message))

    def _note(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    async def until(self, expression: str, seconds: float = 15.0) -> None:
        """Wait until an expression holds; the pages' policy keeps the browser's own waiting out."""

        async def true() -> bool:
            return bool(await self.page.evaluate(expression))

        await eventually(true, seconds)


@asynccontextmanager
async def browser(tmp_path: Path, name: str, url: str, **options: Any) -> AsyncIterator[Page]:
    """Open a signed-in page of a fresh browser whose microphone hears a tone that comes and goes."""
    playwright = pytest.importorskip("playwright.async_api")
    sound = tmp_path / f"{name}.wav"
    write_tone(sound)
    async with playwright.async_playwright() as driver:
        context = await driver.chromium.launch_persistent_context(
            str(tmp_path / name),
            executable_path=CHROMIUM,
            headless=True,
            args=[*FLAGS, f"--use-file-for-fake-audio-capture={sound}"],
            **options,
        )
        await context.add_init_script(
            f"sessionStorage.setItem('agent.key', {json.dumps(USER_KEY)});"
            f"localStorage.setItem('agent.name', {json.dumps(name)});"
        )
        page = Page(context.pages[0])
        await page.page.goto(url)
        try:
            yield page
        finally:
            await context.close()


def write_tone(path: Path, seconds: int = 10, rate: int = 48_000) -> None:
    """Write a tone of 220 Hz whose loudness swells."""
    swell = (0.5 + 0.5 * math.sin(n / rate * 5) for n in range(seconds * rate))
    samples = (round(9000 * loud * math.sin(n / rate * 2 * math.pi * 220)) for n, loud in enumerate(swell))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


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
        assert not anna.problems


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
            await anna.until("document.querySelector('.person[data-muted=true] .name').textContent.startsWith('Mark')")
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
            wrong.cleared = True
            mesh.meetings.publish(meetings.WatchMeetingResponse(warning=wrong))
            for one in (room, page):
                await one.until("document.body.dataset.warnings === '0'")
                assert not await one.page.is_visible("#warnings")
            assert not room.problems + page.problems


async def picture(page: Page, name: str) -> None:
    """Keep what the browser shows, for whoever wants to look."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.page.screenshot(path=PICTURES / f"{name}.png")
