"""The browser relay on a web meeting that it knows nothing of: it goes in, hears everybody, comes back, leaves."""

import asyncio
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.connector.clock import SessionClock
from services.connector.provider import Basis, CallRefused, JoinSpec, Patience, Surroundings
from services.connector.providers.browser import KIND, BrowserProvider, BrowserSettings
from services.connector.spans import Kind, Reason
from tests.fakes.spans import RecordedSpans
from tests.kit_server import eventually
from tests.system.connector.meeting_page import serving_page

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

WAIT_SECONDS = 40.0
RATE = 16_000
NAME = "Interview recorder"


class Written:
    """A session's tracks as they would be written, and what the listener was told."""

    def __init__(self) -> None:
        self.tracks: dict[int, RecordedSpans] = {}
        self.names: dict[int, tuple[str, Basis]] = {}
        self.told_people: list[tuple[str, str]] = []
        self.states: list[str] = []

    def start_track(self, participant_id: str, display_name: str, basis: Basis, start_sample: int) -> int:
        number = len(self.tracks) + 1
        self.tracks[number] = RecordedSpans(start_sample)
        self.names[number] = display_name, basis
        return number

    def audio(self, track: int, start_sample: int, pcm: bytes, kind: Kind) -> None:
        self.tracks[track].audio(start_sample, pcm, kind)

    def gap(self, track: int, start_sample: int, end_sample: int, reason: Reason) -> None:
        self.tracks[track].gap(start_sample, end_sample, reason)

    def end_track(self, track: int, end_sample: int) -> None:
        assert self.tracks[track].position == end_sample

    def entered(self) -> None:
        self.states.append("entered")

    def live(self) -> None:
        self.states.append("live")

    def degraded(self, reason: str) -> None:
        self.states.append("degraded")

    def recovered(self) -> None:
        self.states.append("recovered")

    def reconnecting(self, reason: str) -> None:
        self.states.append("reconnecting")

    def told(self, participant_id: str, display_name: str, channel: str) -> None:
        self.told_people.append((display_name, channel))

    def withdrew(self, participant_id: str) -> None:
        self.states.append("withdrew")

    def consented(self, participant_id: str) -> None:
        self.states.append("consented")

    def pitch(self, track: int) -> int:
        """The loudest frequency of the last second of a track, in hertz; 0 for silence."""
        pcm = np.frombuffer(bytes(self.tracks[track].pcm), "<i2")[-RATE:].astype(np.float64)
        if len(pcm) < RATE or np.abs(pcm).mean() < 200:
            return 0
        return int(np.abs(np.fft.rfft(pcm)).argmax())


def relay(hosts: tuple[str, ...] = ("127.0.0.1",), **settings: Any) -> BrowserProvider:
    pytest.importorskip("playwright.async_api")
    read = BrowserSettings(browser_enabled=True, browser_hosts=hosts, **settings)
    assert not KIND.off(read)
    made = KIND.make(read, Surroundings("http://127.0.0.1:1", None, NAME, patience=Patience(empty_room=1.0)))
    assert isinstance(made, BrowserProvider)
    return made


def browsers() -> list[int]:
    """The Chromium processes that this process has started."""
    wanted = f"--user-data-dir={tempfile.gettempdir()}/agent-browser-{os.getpid()}-".encode()
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes()
            if wanted in arguments and b"--type=" not in arguments:
                found.append(int(process.name))
    return found


def left_behind() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"agent-browser-{os.getpid()}-*"))


async def test_everybody_in_an_unknown_meeting_is_heard_and_nobody_is_named():
    written = Written()
    async with serving_page() as page:
        spec = JoinSpec("m", "default", page.url)
        async with relay().open_source(spec, SessionClock(), written, written) as source:
            await eventually(
                lambda: {written.pitch(track) for track in written.tracks} == {440, 1000}, seconds=WAIT_SECONDS
            )
            assert page.joined == ["Interview%20recorder"]
            assert {name for name, _ in written.names.values()} == {"Speaker 1", "Speaker 2"}
            assert {basis for _, basis in written.names.values()} == {Basis.GUESS}
            assert sorted(written.told_people) == [("Speaker 1", "roster"), ("Speaker 2", "roster")]
            page.order("first-leaves")
            await eventually(lambda: len(source.participants) == 1, seconds=WAIT_SECONDS)
            page.order("leave")
            async with asyncio.timeout(WAIT_SECONDS):
                assert await source.over() == "everyone has left"
            end = source.finish()
        assert max(spans.position for spans in written.tracks.values()) == end
    assert not browsers()
    assert not left_behind()


async def test_a_browser_that_dies_comes_back_and_those_whom_the_page_names_go_on(tmp_path: Path):
    recipes = tmp_path / "sites.toml"
    recipes.write_text('[ours]\naddress = "^127"\nspeaker_name = "data-who"\nspeaker_id = "data-id"\n')
    attributes = '[{"data-who": "Ada", "data-id": "a"}, {"data-who": "Bo", "data-id": "b"}]'
    written = Written()
    async with serving_page(attributes) as page:
        provider = relay(browser_recipes=recipes)
        spec = JoinSpec("m", "default", page.url)
        async with provider.open_source(spec, SessionClock(), written, written) as source:
            await eventually(
                lambda: {written.pitch(track) for track in written.tracks} == {440, 1000}, seconds=WAIT_SECONDS
            )
            assert set(written.names.values()) == {("Ada", Basis.ROSTER), ("Bo", Basis.ROSTER)}
            (browser,) = browsers()
            os.killpg(os.getpgid(browser), signal.SIGKILL)
            await eventually(lambda: "recovered" in written.states, seconds=WAIT_SECONDS)
            before = {track: spans.position for track, spans in written.tracks.items()}
            await eventually(
                lambda: all(spans.position > before[track] + RATE for track, spans in written.tracks.items()),
                seconds=WAIT_SECONDS,
            )
            await eventually(
                lambda: {written.pitch(track) for track in written.tracks} == {440, 1000}, seconds=WAIT_SECONDS
            )
            assert len(written.tracks) == 2, "they are the same people as before"
            source.finish()
        assert all(spans.total("no_packets") > 0 for spans in written.tracks.values()), "the time away is a gap"
        assert written.states[:2] == ["entered", "live"]
        assert "reconnecting" in written.states
    assert not left_behind()


async def test_a_page_that_lets_nobody_in_is_refused_and_private_networks_are_not_visited():
    async with serving_page() as page:
        spec = JoinSpec("m", "default", page.url + "#elsewhere")
        closed = Written()
        provider = relay(browser_join_seconds=2.0)
        page._attributes = "[];document.querySelector('#go').remove()"
        async with provider.open_source(spec, SessionClock(), closed, closed) as source:
            with pytest.raises(CallRefused, match="did not let the recorder in within 2 s"):
                await source.over()
        assert closed.states == []
        stranger = relay(hosts=())
        for address in (page.url, "http://169.254.169.254/latest", "file:///etc/passwd"):
            with pytest.raises(CallRefused):
                async with stranger.open_source(JoinSpec("m", "default", address), SessionClock(), closed, closed):
                    pass
    assert not left_behind()


def test_what_to_set_is_said_while_the_relay_is_off():
    assert "BROWSER_ENABLED=true" in KIND.off(BrowserSettings())
    nowhere = BrowserSettings(browser_enabled=True, chrome_executable_path=Path("/nowhere/chromium"))
    assert "CHROME_EXECUTABLE_PATH" in KIND.off(nowhere)
