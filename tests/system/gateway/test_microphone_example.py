"""The browser example as its head says: a page from elsewhere, Chromium's microphone, a real mesh."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.examples.running import CLIENTS, running_mesh, write_sample
from tests.e2e.mesh.test_command import check_words
from tests.kit_server import eventually
from tests.system.gateway.browser import CHROMIUM, FLAGS

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


@pytest.fixture
def page() -> Iterator[str]:
    """Address of a web server that has the examples and knows nothing of the gateway."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(CLIENTS))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


async def test_a_browser_records_and_reads_along(page: str, tmp_path: Path):
    playwright = pytest.importorskip("playwright.async_api")
    sound = write_sample(tmp_path / "speech.wav")
    with running_mesh(CORS_ORIGINS=page) as mesh:
        async with playwright.async_playwright() as driver:
            browser = await driver.chromium.launch(
                executable_path=CHROMIUM,
                headless=True,
                args=[*FLAGS, f"--use-file-for-fake-audio-capture={sound}%noloop"],
            )
            try:
                tab = await browser.new_page()
                problems: list[str] = []
                tab.on("pageerror", lambda error: problems.append(str(error)))
                await tab.goto(f"{page}/microphone.html")
                await tab.fill("#url", mesh.url)
                await tab.fill("#key", mesh.key)
                await tab.click("#start")

                async def state(pattern: str) -> bool:
                    return re.search(pattern, await tab.inner_text("#state")) is not None

                async def two_sentences() -> bool:
                    return len((await tab.inner_text("#words")).split()) >= 14

                await eventually(lambda: state("^Recording"), 30)
                await eventually(two_sentences, 90)
                await tab.click("#stop")
                await eventually(lambda: state("^Finished: meeting"), 60)
                check_words(await tab.inner_text("#words"))
                assert not problems
            finally:
                await browser.close()
