"""The list in a real browser: meetings are found and filtered, a meeting elsewhere is recorded from its link."""

from pathlib import Path

import pytest

from tests.integration.gateway import interview
from tests.integration.gateway.scripted import running_mesh
from tests.system.gateway.browser import browser

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

_TITLES = "[...document.querySelectorAll('.row .title')].map((one) => one.textContent)"


async def test_a_search_goes_through_the_pages_and_a_state_filters(tmp_path: Path):
    async with running_mesh() as mesh:
        for number in range(50):
            state = "live" if number == 7 else "finished"
            title = "Ёлкин, дизайнер" if number == 3 else f"Interview {number}"
            mesh.meetings.known[f"m-{number}"] = interview.meeting(state, f"m-{number}", title)
        async with browser(tmp_path, "Anna", mesh.url) as anna:
            await anna.until("document.getElementById('meetings').dataset.loaded === '20'")
            await anna.page.fill("#search", "елкин")
            await anna.until(f"{_TITLES}.join() === 'Ёлкин, дизайнер'")
            assert await anna.page.inner_text("#found") == "1 of 51"
            await anna.page.fill("#search", "no such meeting")
            await anna.until("document.getElementById('meetings').innerText === 'No meeting matches.'")
            await anna.page.fill("#search", "")
            await anna.page.select_option("#filter", "live")
            await anna.until(f"{_TITLES}.join() === 'Interview 7'")
            await anna.page.select_option("#filter", "")
            await anna.until("document.getElementById('meetings').dataset.loaded === '20'")
            await anna.page.click("#more")
            await anna.until("document.getElementById('meetings').dataset.loaded === '40'")
            assert not anna.problems


async def test_a_meeting_elsewhere_is_recorded_and_stopped(tmp_path: Path):
    async with running_mesh() as mesh, browser(tmp_path, "Anna", mesh.url) as anna:
        await anna.page.click("#quick summary")
        await anna.page.fill("#quick [name=url]", "https://meet.example.org/standup?pwd=1")
        await anna.page.fill("#quick [name=minutes]", "10")
        await anna.page.click("#quick [type=submit]")
        await anna.until("document.getElementById('quick').dataset.state === 'recording'")
        assert "https://meet.example.org/standup" in await anna.page.inner_text(".quick-status")
        assert "pwd" not in await anna.page.inner_text(".quick-status")
        assert mesh.quick.wished[0].duration_sec == 600
        assert mesh.quick.wished[0].upload_to_agent
        await anna.page.reload()  # whoever comes back finds it
        await anna.until("document.getElementById('quick').dataset.state === 'recording'")
        await anna.page.click(".quick-status .stop")
        await anna.until("document.getElementById('quick').dataset.state === 'done'")
        assert mesh.quick.recording.state == "done"
        assert not anna.problems


async def test_recording_elsewhere_that_is_switched_off_says_so(tmp_path: Path):
    async with running_mesh() as mesh, browser(tmp_path, "Anna", mesh.url) as anna:
        mesh.quick.off = "set CONNECTOR_BROWSER_ENABLED=true"
        await anna.page.click("#quick summary")
        await anna.page.fill("#quick [name=url]", "https://meet.example.org/standup")
        await anna.page.click("#quick [type=submit]")
        await anna.until("!document.querySelector('#quick .problem').hidden")
        assert await anna.page.inner_text("#quick .problem") == (
            "Recording meetings elsewhere is switched off in this installation. set CONNECTOR_BROWSER_ENABLED=true"
        )
        assert not await anna.page.is_disabled("#quick [type=submit]")
