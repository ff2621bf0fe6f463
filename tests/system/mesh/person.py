"""A person at a browser: signs in, joins, mutes, reads the page, or is gone from one moment to the next."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

CHROMIUM = "/usr/bin/chromium"
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
)
# A machine without any other interface: Chromium has to be told, the recorder finds out by itself.
LOOPBACK_FLAG = "--allow-loopback-in-peer-connection"
LOOK_SECONDS = 0.1

# The file is played from the moment that the page opens the microphone.
_NOTE_MICROPHONE = """
(() => {
  const devices = navigator.mediaDevices;
  if (!devices?.getUserMedia) return;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wishes) => {
    const stream = await open(wishes);
    window.microphoneOpened = performance.now();
    return stream;
  };
})();
"""
# The page keeps its connections to itself. The first that stands, while nobody else is there, is the recorder's.
_NOTE_CONNECTIONS = """
(() => {
  const Plain = window.RTCPeerConnection;
  if (!Plain) return;
  window.connections = [];
  window.RTCPeerConnection = class extends Plain {
    constructor(...options) {
      super(...options);
      window.connections.push(this);
    }
  };
})();
"""
_KEEP_SENDER = """
(() => {
  const [connection, ...more] = connections.filter((one) => one.connectionState === 'connected');
  if (!connection || more.length) return false;
  window.toRecorder = connection.getSenders().find((sender) => sender.track?.kind === 'audio');
  window.microphone = toRecorder.track;
  return true;
})()
"""
_MOMENT = "[performance.now() / 1000, microphone.stats.totalFramesDuration / 1000]"
_SEND = "((sent, asked) => sent.then(() => [asked, %s]))(toRecorder.replaceTrack(%s), %s)"
_LINES = """
[...document.querySelectorAll('#transcript .line')].map((line) =>
  [line.querySelector('.who b').textContent, line.querySelector('.said').textContent])
"""
_INTERIM = """
[...document.querySelectorAll('#interims .line')].some((line) =>
  line.querySelector('.who b').textContent === %r && line.querySelector('.said').textContent.trim())
"""


class Moment(NamedTuple):
    """A moment in a person's browser, in seconds."""

    clock: float
    """By the page's clock."""
    voice: float
    """How much of the voice the microphone has given; a machine that is busy costs it some of the clock's time."""


class Person:
    """A person by name; everything that went wrong in their page is in `problems`."""

    def __init__(self, name: str, context: Any, profile: Path) -> None:
        self.name = name
        self.page = context.pages[0]
        self.problems: list[str] = []
        self._context = context
        self._profile = profile
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._note)

    def _note(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    async def fact(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return await self.page.evaluate(expression)

    async def until(self, expression: str, seconds: float = 30.0) -> None:
        """Wait until an expression holds in the page.

        Raises:
            AssertionError: it did not; the message has the page's facts.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    if await self.fact(expression):
                        return
                    await asyncio.sleep(LOOK_SECONDS)
        facts = await self.fact("({...document.body.dataset, text: document.querySelector('main').innerText})")
        raise AssertionError(f"{self.name} waited {seconds:.0f} s for {expression}: {facts} {self.problems}")

    async def sign_in(self, key: str) -> None:
        """Give the key when the page asks for it."""
        self.problems.clear()
        await self.until("document.querySelector('#key-dialog[open]') !== null")
        await self.page.fill("#key-dialog [name=key]", key)
        async with self.page.expect_navigation():
            await self.page.click("#key-dialog [type=submit]")
        # The refusal before it is in the browser's console, as it should be.
        self.problems = [problem for problem in self.problems if "401" not in problem]

    async def enter(self, url: str) -> None:
        """Open the call's page and join; the voice begins with the page's microphone."""
        await self.page.goto(url)
        await self.until("document.querySelector('#device option') !== null && window.microphoneOpened > 0")
        await self.page.fill("#name", self.name)
        await self.page.click("#join-button")
        await self.until("agentRoom.joined")

    async def voice_seconds(self) -> float:
        """How much of the voice's file has been played."""
        return float(await self.fact("(performance.now() - window.microphoneOpened) / 1000"))

    async def said(self, seconds: float) -> None:
        """Wait until the voice's file has been played up to here."""
        await asyncio.sleep(max(0.0, seconds - await self.voice_seconds()))

    async def keep_sender(self) -> None:
        """Remember what sends to the recorder, for `send_to_recorder` and `moment`; nobody else may be there yet."""
        await self.until(_KEEP_SENDER)

    async def send_to_recorder(self, sending: bool) -> tuple[Moment, Moment]:
        """Take the microphone away from the line to the recorder without a word, or give it back.

        Returns:
            When it was asked for and when it was done: on a machine that is busy these are not the same.
        """
        track = "microphone" if sending else "null"
        asked, done = await self.fact(_SEND % (_MOMENT, track, _MOMENT))
        return Moment(*asked), Moment(*done)

    async def moment(self, expression: str = "true", seconds: float = 30.0) -> Moment:
        """This moment, or that at which an expression begins to hold in the page, which itself looks for it."""
        look = f"const look = () => {expression} ? done({_MOMENT}) : setTimeout(look, 20); look()"
        async with asyncio.timeout(seconds):
            return Moment(*await self.fact(f"new Promise((done) => {{ {look}; }})"))

    async def interim_of(self, name: str, seconds: float = 60.0) -> None:
        """Wait until words of somebody stand in the page that may still change."""
        await self.until(_INTERIM % name, seconds)

    async def lines(self) -> Sequence[tuple[str, str]]:
        """The transcript as it stands in the page: name and text per line."""
        return [(name, text) for name, text in await self.fact(_LINES)]

    async def muted_ms(self, name: str) -> int:
        """Muted time in somebody's account, as the page shows it."""
        account = (
            "[...document.querySelectorAll('.person')].find((one) => "
            f"one.querySelector('.name').textContent.startsWith({name!r})).querySelector('.account').dataset.muted"
        )
        return int(await self.fact(account) or 0)

    def kill(self) -> None:
        """End the browser at once, as a crash would."""
        os.kill(_browser_pid(self._profile), signal.SIGKILL)


@asynccontextmanager
async def open_person(driver: Any, profile: Path, name: str, voice: Path, **options: Any) -> AsyncIterator[Person]:
    """Start a browser of its own for the block.

    Args:
        driver: what `async_playwright()` yields.
        profile: directory for the browser's profile.
        name: name in calls.
        voice: what the microphone hears, once.
        options: more for `launch_persistent_context`.
    """
    context = await driver.chromium.launch_persistent_context(
        str(profile),
        executable_path=CHROMIUM,
        headless=True,
        args=[*FLAGS, LOOPBACK_FLAG, f"--use-file-for-fake-audio-capture={voice}%noloop"],
        **{"locale": "en-GB", **options},
    )
    await context.add_init_script(_NOTE_MICROPHONE)
    await context.add_init_script(_NOTE_CONNECTIONS)
    try:
        yield Person(name, context, profile)
    finally:
        await context.close()


def _browser_pid(profile: Path) -> int:
    """The browser's own process: it has the profile and is nobody's renderer."""
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            own = f"--user-data-dir={profile}".encode() in arguments
            if own and not any(argument.startswith(b"--type=") for argument in arguments):
                return int(process.name)
    raise AssertionError(f"no browser runs with {profile}")
