"""Quick recording over REST through the browser relay: our own call page, a guest who speaks, and one MP3."""

import io
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import av
import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray

from kit.ids import new_id
from mesh.child import ChildFailed
from mesh.failures import leaves
from mesh.mesh import Mesh, open_mesh, why_it_failed
from tests.kit_server import eventually
from tests.system.connector.microphone import found_pieces
from tests.system.mesh.person import Person, open_person
from tests.system.mesh.voices import write_voice

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

BUILD = Path(__file__).resolve().parents[3] / "build"
RATE = 16_000
WAIT_SECONDS = 60.0
LEAD_SECONDS = 12.0
VOICE_SECONDS = 8.0

Sound = NDArray[np.float64]


@asynccontextmanager
async def open_site(tmp_path: Path) -> AsyncIterator[tuple[Mesh, httpx2.AsyncClient, Person]]:
    """Run a mesh whose call page asks for no key, and a guest's browser with a voice."""
    playwright = pytest.importorskip("playwright.async_api")
    data = BUILD / f"system-{new_id()}"  # PostgreSQL changes its user and cannot enter a private temporary directory
    environment = {"STT_PROVIDER": "demo", "AUTH_MODE": "none", "BROWSER_ENABLED": "true"}
    voice = tmp_path / "alice.wav"
    write_voice(voice, "en", "alice", lead_seconds=LEAD_SECONDS, seconds=VOICE_SECONDS)
    try:
        async with AsyncExitStack() as stack:
            mesh = await stack.enter_async_context(open_mesh(data, free_ports=True, environment=environment))
            http = await stack.enter_async_context(httpx2.AsyncClient(base_url=mesh.url, trust_env=False, timeout=40))
            driver = await stack.enter_async_context(playwright.async_playwright())
            guest = await stack.enter_async_context(open_person(driver, tmp_path / "guest", "Alice Reed", voice))
            yield mesh, http, guest
    except* ChildFailed as failures:  # its log goes with the data
        raise AssertionError([why_it_failed(failure) for failure in leaves(failures)]) from None
    finally:
        shutil.rmtree(data, ignore_errors=True)


async def test_a_call_is_recorded_from_its_link_over_rest_and_comes_as_an_mp3(tmp_path: Path):
    async with open_site(tmp_path) as (mesh, http, alice):
        wished = {"title": "Interview", "mode": "realtime", "auto_join_connector": False}
        room = (await said(http.post("/v1/meetings/start", json=wished)))["meeting_id"]
        assert (await said(http.get("/v1/quick-record/status")))["state"] == "idle"
        link = f"{mesh.url}/rooms/{room}"
        await alice.enter(link)
        start = {"url": f"{link}?from=mail", "provider": "browser", "upload_to_agent": True, "language": "en"}
        begun = await said(http.post("/v1/quick-record/start", json=start))
        assert begun["url"] == link
        await alice.until("[...document.querySelectorAll('.person')].length === 2")
        await alice.said(LEAD_SECONDS + VOICE_SECONDS)
        status = await said(http.get("/v1/quick-record/status"))
        assert status["state"] == "recording"
        assert status["session_state"] == "SESSION_STATE_LIVE"
        await said(http.post("/v1/quick-record/stop", json={}))

        async def over() -> bool:
            return bool((await said(http.get("/v1/quick-record/status")))["state"] != "assembling")

        await eventually(over, seconds=WAIT_SECONDS)
        status = await said(http.get("/v1/quick-record/status"))
        assert status["state"] == "done", status
        await alice.until("[...document.querySelectorAll('.person:not(.gone)')].length === 1")
        mp3 = await http.get(status["audio_path"])
        assert mp3.headers["content-type"] == "audio/mpeg"
        recorded = samples(mp3.content)
        assert abs(len(recorded) / RATE - status["seconds"]) < 1.5
        spoken = samples((tmp_path / "alice.wav").read_bytes())[round(LEAD_SECONDS * RATE) :]
        found = found_pieces(spoken, recorded, seconds=0.5)
        lags = [lag for lag, _ in found]
        # Two codecs and two browsers that clean and stretch what they hear lie between: the words are all there, each
        # in its place, but their waves are not the same. Those of a voice played backwards are 0.3, and anywhere.
        assert np.mean([abs(lag - np.median(lags)) < 0.2 for lag in lags]) > 0.7, found
        assert np.median([alike for _, alike in found]) > 0.55, found
        meeting = await said(http.get(f"/v1/meetings/{begun['meeting_id']}"))
        (voice,) = meeting["participants"]
        assert (voice["display_name"], voice["basis"]) == ("Alice Reed", "roster"), "the page names who speaks"
        assert "Please tell me about" in meeting["raw_transcript"], meeting["raw_transcript"]


async def said(answering: Any) -> Any:
    """The JSON of an answer that is a success."""
    answer = await answering
    assert answer.status_code == 200, answer.text
    return answer.json()


def samples(content: bytes) -> Sound:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(io.BytesIO(content), "r") as container:
        frames = [*container.decode(audio=0), None]
        pieces = [piece.to_ndarray().reshape(-1) for frame in frames for piece in resampler.resample(frame)]
    return np.concatenate(pieces).astype(np.float64)
