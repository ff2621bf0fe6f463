"""Every page, for everybody: axe-core finds no serious fault, light and dark, on a desk and on a telephone."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.common.v1 import report_pb2
from agent.ingest.v1 import meeting_service_pb2 as meetings
from tests.integration.gateway import interview
from tests.integration.gateway.interview import MEETING_ID
from tests.integration.gateway.scripted import Mesh, running_mesh
from tests.kit_server import eventually
from tests.system.gateway.browser import Page, browser, picture
from tests.system.gateway.recording import recording
from tests.system.gateway.test_pages import recorder

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]

MODULES = Path(__file__).parents[3] / "build" / "axe"
VERSION = "4.14.1"
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "has_touch": True}
LOOKS = {
    "desk-light": {**DESK, "color_scheme": "light", "locale": "en-GB"},
    "desk-dark": {**DESK, "color_scheme": "dark", "locale": "ru-RU"},
    "phone-light": {**PHONE, "color_scheme": "light", "locale": "ru-RU"},
    "phone-dark": {**PHONE, "color_scheme": "dark", "locale": "en-GB"},
}
_FAULTS = """
axe.run(document, {resultTypes: ['violations']}).then(({violations}) => violations
  .filter((one) => ['serious', 'critical'].includes(one.impact))
  .map((one) => `${one.id}: ${one.help}: ` +
    one.nodes.map((node) => `${node.html} ${node.any[0]?.message ?? ''}`).join(' | ')))
"""
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core; installed once."""
    file = MODULES / "node_modules" / "axe-core" / "axe.min.js"
    if not file.exists():
        MODULES.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(MODULES), "--no-audit", "--no-fund", f"axe-core@{VERSION}"]
        try:
            subprocess.run(command, check=True, timeout=60, capture_output=True)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"axe-core cannot be installed: {error}")
    return file.read_text(encoding="utf-8")


class Reader:
    """Reads pages with axe and notes what it finds."""

    def __init__(self, page: Page, axe: str, look: str) -> None:
        self.page = page
        self.faults: list[str] = []
        self._axe = axe
        self._look = look

    async def read(self, name: str) -> None:
        await self.page.page.evaluate(f"{self._axe}; true")
        self.faults += [f"{name}: {fault}" for fault in await self.page.page.evaluate(_FAULTS)]
        wider = await self.page.page.evaluate(_WIDER)
        if wider > 0:
            self.faults.append(f"{name}: is {wider} pixels wider than the window")
        await picture(self.page, f"{name}-{self._look}")


@pytest.mark.parametrize("look", LOOKS)
async def test_no_page_has_a_serious_fault(tmp_path: Path, axe: str, look: str):
    async with running_mesh() as mesh, browser(tmp_path, "Anna", mesh.url, **LOOKS[look]) as anna:
        reader = Reader(anna, axe, look)
        await read_list(mesh, reader)
        await read_finished(mesh, reader)
        await read_live(mesh, reader)
        await read_room(mesh, reader)
        assert not reader.faults, "\n".join(reader.faults)
        assert not anna.problems


async def read_list(mesh: Mesh, reader: Reader) -> None:
    page = reader.page
    for number, state in enumerate(("failed", "scheduled", "finishing", "live")):
        mesh.meetings.known[f"m-{number}"] = interview.meeting(state, f"m-{number}", f"Interview {number}")
    await page.page.reload()
    await page.until("document.querySelectorAll('.row').length === 5")
    await page.page.click("#quick summary")
    await page.page.fill("#quick [name=url]", "https://meet.example.org/standup")
    await reader.read("list-record")
    await page.page.click("#quick [type=submit]")
    await page.until("document.getElementById('quick').dataset.state === 'recording'")
    await page.until("document.querySelector('#signal.ok') !== null")
    await reader.read("list")


async def read_finished(mesh: Mesh, reader: Reader) -> None:
    page = reader.page
    mesh.meetings.sound = recording()
    await page.page.goto(f"{mesh.url}/meetings/{MEETING_ID}")
    await page.until("document.body.dataset.report === 'true' && document.body.dataset.segments === '15'")
    await page.page.click(".evidence >> text=checksum")
    await page.until("document.querySelector('.word.now') !== null")
    await page.until("document.getElementById('player').dataset.state === 'playing'")  # until then the button begins
    await page.page.click("#player .play")
    await page.until("document.getElementById('player').dataset.state === 'paused'")
    await reader.read("meeting-finished")
    await page.page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    await page.page.click(".moments summary")
    await reader.read("meeting-account")
    await page.page.click(".downloads button")
    await reader.read("meeting-exports")
    await page.page.keyboard.press("Escape")
    await page.page.click("#erase")
    await reader.read("meeting-erase")


async def read_live(mesh: Mesh, reader: Reader) -> None:
    page = reader.page
    mesh.meetings.known[MEETING_ID] = interview.meeting("live")
    await eventually(lambda: mesh.meetings.watchers <= 1)
    await page.page.goto(f"{mesh.url}/meetings/{MEETING_ID}")
    await page.until("document.querySelectorAll('.person').length === 2")
    await eventually(lambda: mesh.meetings.watchers == 1)
    await tell(mesh)
    await page.until("document.querySelectorAll('.line:not(.interim)').length === 6")
    await page.until("document.querySelectorAll('.interim').length === 1 && document.body.dataset.warnings === '1'")
    await reader.read("meeting-live")


async def read_room(mesh: Mesh, reader: Reader) -> None:
    page = reader.page
    await page.page.goto(f"{mesh.url}/rooms/{MEETING_ID}")
    await page.until("document.getElementById('microphone-hint').textContent.length > 0")
    await reader.read("room-lobby")
    await page.page.click("#join-button")
    await page.until("agentRoom.joined")
    async with recorder(mesh):
        await page.until("agentRoom.recorderVisible")
        await eventually(lambda: mesh.meetings.watchers == 1)
        await tell(mesh)
        await page.until("agentRoom.finals === 6")
        await reader.read("room")


async def tell(mesh: Mesh) -> None:
    """Let a meeting happen in front of whoever watches."""
    said = interview.segments()
    events = [meetings.WatchMeetingResponse(cursor=one.ordinal, segment=one) for one in said[:6]]
    say = meetings.InterimText(
        participant_id=interview.ANNA, speaker="Anna Petrova", stable_text="And what would", unstable_text=" you do"
    )
    account = meetings.CoverageUpdate(duration_ms=99_000, participants=interview.coverage(intervals=False))
    asked = interview.claim(3, said[4].text, interview.quote(5, said[4].text))
    promised = report_pb2.ActionItem(
        claim=interview.claim(
            8, "I will send you the exercise", interview.quote(11, "I will send you the exercise by Friday")
        ),
        owner="Anna Petrova",
        due_text="by Friday",
    )
    wrong = meetings.MeetingWarning(kind="silent_capture", participant_id=interview.MARK, since_ms=83_000)
    for event in (
        *(meetings.WatchMeetingResponse(participant=one) for one in interview.participants()),
        *events,
        meetings.WatchMeetingResponse(interim=say),
        meetings.WatchMeetingResponse(coverage=account),
        meetings.WatchMeetingResponse(insight=meetings.LiveInsight(talk=interview.talk())),
        meetings.WatchMeetingResponse(insight=meetings.LiveInsight(question=asked)),
        meetings.WatchMeetingResponse(insight=meetings.LiveInsight(action=promised)),
        meetings.WatchMeetingResponse(warning=wrong),
    ):
        mesh.meetings.publish(event)
