"""A browser on a page from elsewhere publishes its microphone to a meeting, over WHIP and through the gateway."""

from pathlib import Path

import pytest

from tests.fakes.whip_mesh import USER_KEY, running_whip
from tests.integration.connector.harness import RATE, heard, speech_like, track_of, until
from tests.system.connector.microphone import likeness, open_microphone, serving_blank_page

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


async def test_a_browser_publishes_its_microphone(tmp_path: Path) -> None:
    said = speech_like(3.0, 1)
    async with (
        serving_blank_page() as origin,
        running_whip(origin=origin, empty_room_seconds=1.0) as mesh,
        open_microphone(tmp_path, origin, said) as microphone,
    ):
        await microphone.offer()
        url = f"{mesh.url}{mesh.endpoint}?display_name=Alice"
        location = await microphone.publish(url, USER_KEY)
        await until(lambda: heard(mesh.ingest, "Alice") > 7.5 * RATE, 30)
        assert await microphone.unpublish(location, USER_KEY) == 200
        await until(lambda: mesh.ingest.session.end is not None)
    assert likeness(said, track_of(mesh.ingest, "Alice").samples) > 0.93
