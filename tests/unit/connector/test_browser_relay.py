"""The browser relay's voices: whose they are, who is gone, and who is not recorded when nobody can tell."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.mediastreams import AudioStreamTrack

from services.connector.clock import SessionClock
from services.connector.provider import Basis, Patience
from services.connector.providers.browser_recipes import RecipeWrong, read_recipes, recipe_for
from services.connector.providers.browser_relay import MOST_TRACKS, Relay
from services.connector.receive.voices import Voices


class Quiet:
    """Takes what sources tell and write, and keeps who was told of the recorder."""

    def __init__(self) -> None:
        self.people: list[str] = []

    def told(self, participant_id: str, display_name: str, channel: str) -> None:
        self.people.append(display_name)

    def start_track(self, participant_id: str, display_name: str, basis: Basis, start_sample: int) -> int:
        return 1

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@dataclass
class Page:
    """What a page's script would say."""

    relay: Relay
    voices: Voices
    offers: list[RTCPeerConnection] = field(default_factory=list)

    async def offer(self, name: str, speaker: dict[str, str] | None = None) -> str | None:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.offers.append(connection)
        connection.addTrack(AudioStreamTrack())
        await connection.setLocalDescription(await connection.createOffer())
        sdp = connection.localDescription.sdp
        return await self.relay.told({"type": "offer", "id": name, "sdp": sdp, "speaker": speaker})

    async def speaks(self, name: str, speaker: dict[str, str] | None) -> None:
        await self.relay.told({"type": "speaker", "id": name, "speaker": speaker})

    @property
    def heard(self) -> list[tuple[str, bool]]:
        return [(one.display_name, one.withdrawn) for one in self.voices.participants]


@asynccontextmanager
async def open_relay(withdrawn: tuple[str, ...] = ()) -> AsyncIterator[Page]:
    quiet = Quiet()
    voices = Voices(SessionClock(), quiet, quiet, Patience(), withdrawn)
    async with asyncio.TaskGroup() as tasks:
        page = Page(Relay(voices, quiet, tasks, withdrawn), voices)
        try:
            yield page
            assert len(quiet.people) >= len(page.heard), "everybody could see the recorder"
        finally:
            page.relay.close()
            await asyncio.gather(*(connection.close() for connection in page.offers))


async def test_a_speaker_whom_the_page_names_is_the_same_after_a_new_start():
    async with open_relay() as page:
        assert "a=recvonly" in (await page.offer("1", {"id": "a", "name": "Ada"}) or "")
        await page.offer("2", {"id": "b", "name": "Bo"})
        await page.offer("3")
        ids = {one.display_name: one.participant_id for one in page.voices.participants}
        page.relay.interrupt()
        assert len(page.heard) == 3, "they are waited for"
        await page.offer("4", {"id": "a", "name": "Ada"})
        await page.offer("5")
        page.relay.settle()
        assert [name for name, _ in page.heard] == ["Ada", "Speaker 2"], (
            "Bo is gone, and nobody knows who Speaker 1 was"
        )
        assert page.voices.participants[0].participant_id == ids["Ada"]


async def test_another_speaker_on_a_track_is_another_participant():
    async with open_relay() as page:
        await page.offer("1")
        assert page.heard == [("Speaker 1", False)]
        await page.speaks("1", {"id": "a", "name": " Ada "})
        assert page.heard == [("Ada", False)]
        await page.speaks("1", {"id": "b", "name": "Bo"})
        await page.speaks("1", {"id": "b", "name": "Bo"})
        assert page.heard == [("Bo", False)]
        await page.relay.told({"type": "ended", "id": "1"})
        assert page.heard == []


async def test_whoever_may_be_somebody_who_withdrew_is_not_recorded():
    async with open_relay() as page:
        await page.offer("1")
        assert page.voices.withdraw(page.voices.participants[0].participant_id)
        await page.speaks("1", {"id": "a", "name": "Ada"})
        assert page.heard == [("Ada", True)], "it is the same track"
        await page.relay.told({"type": "ended", "id": "1"})
        await page.offer("2")
        await page.offer("3", {"id": "b", "name": "Bo"})
        assert page.heard == [("Speaker 2", True), ("Bo", False)]
    async with open_relay(withdrawn=("browser-0a0a0a-1",)) as page:
        await page.offer("1")
        assert page.heard == [("Speaker 1", True)], "a new connector knows no more"


async def test_what_a_page_says_is_checked_and_bounded():
    async with open_relay() as page:
        nonsense: list[Any] = [None, 7, [], {}, {"type": "offer"}, {"type": "offer", "id": 1, "sdp": 2}, {"type": "x"}]
        for message in nonsense:
            assert await page.relay.told(message) is None
        assert await page.relay.told({"type": "offer", "id": "1", "sdp": "v=0\r\n", "speaker": None}) is None
        assert await page.relay.told({"type": "offer", "id": "x" * 1000, "sdp": "v=0\r\n", "speaker": None}) is None
        assert page.heard == []
        for number in range(MOST_TRACKS * 2):
            await page.relay.told({"type": "calls", "frame": str(number), "open": 1, "connected": 1})
        assert page.relay.calls.connected == 64
        await page.offer("2", {"id": "a" * 500, "name": "n" * 500})
        (heard,) = page.voices.participants
        assert len(heard.display_name) == 64
        assert len(heard.participant_id) < 64


def test_recipes_are_found_by_the_address_and_their_mistakes_are_named(tmp_path):
    recipes = read_recipes(None)
    assert recipe_for(recipes, "https://agent.example.org/rooms/0192").inside
    assert not recipe_for(recipes, "https://meet.example.org/abc?x=/rooms/1").inside
    more = tmp_path / "more.toml"
    more.write_text("[ours]\naddress = '^meet\\.example'\nbuttons = ['#go']\n")
    own = recipe_for(read_recipes(more), "https://meet.example.org/abc")
    assert (own.buttons, bool(own.name_fields)) == (["#go"], True)
    for wrong in ("[ours]\naddress = '('", "[ours]\nbutton = ['#go']", "[ours]\nbuttons = '#go'", "ours = 1", "["):
        more.write_text(wrong)
        with pytest.raises(RecipeWrong):
            read_recipes(more)
