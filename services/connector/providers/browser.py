"""The browser relay: a headless Chromium opens any web meeting as a visible participant and forwards what it hears.

page ──remote tracks──▶ its script ──a connection per track──▶ relay ──▶ voices
  └── offers and news through a function of the browser's own protocol: no HTTP server is needed
"""

import asyncio
import fnmatch
import importlib.util
import ipaddress
import json
import random
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat

from kit.clock import monotonic
from kit.settings import CommaList, Section, SettingsError
from kit.telemetry import logs
from services.connector.clock import SessionClock
from services.connector.provider import (
    CallRefused,
    Capabilities,
    Heard,
    JoinSpec,
    ProviderAway,
    ProviderKind,
    SourceListener,
    SourceLost,
    Surroundings,
    TrackWriter,
    address_parts,
)
from services.connector.providers.browser_entrance import Entrance
from services.connector.providers.browser_process import (
    Browser,
    BrowserLost,
    BrowserMissing,
    find_chromium,
    open_browser,
)
from services.connector.providers.browser_recipes import Recipe, RecipeWrong, read_recipes, recipe_for
from services.connector.providers.browser_relay import Relay
from services.connector.receive.voices import Voices

OPEN_SECONDS = 30.0
"""Time for the page to load; some meeting sites are large."""
MEET_SECONDS = 5.0
"""After coming back: time in which everybody in the call is met again."""
OUT_SECONDS = 10.0
"""Time without any sign of the call after which the page is out of it."""
MEDIA_LOST_SECONDS = 30.0
"""Time that the page has to mend its own connections."""
STUCK_SECONDS = 15.0
_BACKOFF_SECONDS = (1.0, 15.0)
_LOOK_SECONDS = 1.0
_PROBE_SECONDS = 10.0
_RESOLVE_SECONDS = 10.0
_SCRIPT = Path(__file__).with_name("browser_page.js")

T = TypeVar("T")

log = logs.get()


class BrowserSettings(Section):
    """The browser relay: web meetings joined with a headless Chromium."""

    browser_enabled: bool = False
    """Whether calls may be joined with a browser; needs the extra `browser`, a Chromium, and about 400 MB per call."""
    browser_join_seconds: PositiveFloat = 60.0
    """Time to get into a call, waiting rooms included."""
    browser_hosts: CommaList = ()
    """Hosts whose pages may be opened, for example `meet.example.org,*.example.com`; empty: any host with a public
    address. Hosts in a private network have to be named."""
    browser_memory_mib: Annotated[int, Field(ge=256)] = 2_048
    """Memory of one browser, its processes together; one that takes more is started anew."""
    browser_recipes: Path | None = None
    """File with more sites and how to enter them, as `services/connector/providers/browser_recipes.toml`."""
    chrome_executable_path: Path | None = None
    """Chromium or Chrome to start; unset: the first of chromium, chromium-browser, google-chrome that is installed."""


class BrowserProvider:
    """Joins web meetings; see `Provider`."""

    def __init__(
        self, settings: BrowserSettings, surroundings: Surroundings, executable: Path, recipes: Sequence[Recipe]
    ) -> None:
        self._settings = settings
        self._surroundings = surroundings
        self._executable = executable
        self._recipes = recipes

    def base(self, spec: JoinSpec) -> str:
        """Return the site of the meeting."""
        parts = address_parts(spec.meeting_url)
        return f"{parts.scheme}://{parts.netloc}"

    async def probe(self) -> None:
        """Ask Chromium for its version."""
        process: asyncio.subprocess.Process | None = None
        try:
            process = await asyncio.create_subprocess_exec(
                self._executable,
                "--version",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(_PROBE_SECONDS):
                status = await process.wait()
        except (OSError, TimeoutError) as error:
            raise ProviderAway(f"Chromium does not answer ({type(error).__name__})") from error
        finally:
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
        if status:
            raise ProviderAway(f"Chromium does not answer (status {status})")

    @asynccontextmanager
    async def open_source(
        self, spec: JoinSpec, clock: SessionClock, tracks: TrackWriter, listener: SourceListener
    ) -> AsyncIterator["BrowserSource"]:
        """Be in the call for the block."""
        await self._check_address(spec.meeting_url)
        async with asyncio.TaskGroup() as tasks:
            voices = Voices(clock, tracks, listener, self._surroundings.patience, spec.withdrawn)
            relay = Relay(voices, listener, tasks, spec.withdrawn)
            source = BrowserSource(self, spec.meeting_url, voices, relay)
            running = [
                tasks.create_task(source.stay(), name="connector.browser.stay"),
                tasks.create_task(voices.tick(), name="connector.browser.tick"),
            ]
            try:
                yield source
            finally:
                relay.close()
                for task in running:
                    task.cancel()

    @asynccontextmanager
    async def open_page(self, url: str, relay: Relay) -> AsyncIterator[tuple[Browser, Entrance]]:
        """Have the meeting's page open in a browser of its own for the block.

        Raises:
            ProviderAway: there is no Chromium, or the page does not load.
            CallRefused: the page is not there, or leads into a private network.
        """
        recipe = recipe_for(self._recipes, url)
        # Guessable by no page: what a page said itself would be taken for the script's word.
        binding = f"relay_{secrets.token_hex(8)}"
        script = await asyncio.to_thread(page_script, binding, recipe)
        try:
            async with open_browser(self._executable, script, binding, relay.told) as browser:
                await self._load(browser, url)
                name = self._surroundings.recorder_name
                yield browser, Entrance(browser, recipe, name, lambda: relay.calls.connected > 0)
        except BrowserMissing as error:
            raise ProviderAway(str(error)) from error

    @property
    def rejoin_seconds(self) -> float:
        """How long a lost call is tried again."""
        return self._surroundings.patience.rejoin

    @property
    def join_seconds(self) -> float:
        """Time to get into a call."""
        return self._settings.browser_join_seconds

    @property
    def memory_mib(self) -> int:
        """Memory of one browser."""
        return self._settings.browser_memory_mib

    async def _load(self, browser: Browser, url: str) -> None:
        from playwright.async_api import Error

        try:
            response = await browser.page.goto(url, wait_until="domcontentloaded", timeout=OPEN_SECONDS * 1000)
        except Error as error:
            raise ProviderAway(f"the meeting's page does not load ({_net_error(error)})") from error
        if response is not None and response.status >= 500:
            raise ProviderAway(f"the meeting's page answers {response.status}")
        if response is not None and response.status >= 400:
            raise CallRefused(f"the meeting's page answers {response.status}")
        await self._check_address(browser.page.url)  # where redirections led

    async def _check_address(self, url: str) -> None:
        """Refuse what is no web page, and what a caller must not make us open: pages inside our own network.

        Raises:
            CallRefused: it must not be opened.
            ProviderAway: its host has no address now.
        """
        parts = address_parts(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CallRefused("the meeting's address is not that of a web page: it has the form https://host/path")
        if parts.netloc == urlsplit(self._surroundings.gateway_url).netloc:
            return
        if any(fnmatch.fnmatch(parts.hostname, pattern.lower()) for pattern in self._settings.browser_hosts):
            return
        if self._settings.browser_hosts:
            raise CallRefused("the meeting's host is not one of BROWSER_HOSTS")
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ProviderAway("the meeting's host has no address") from error
        if not all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_global for address in found):
            raise CallRefused("the meeting's host is in a private network; name it in BROWSER_HOSTS to allow it")


class BrowserSource:
    """The recorder in one web meeting; see `Source` and `BrowserProvider.open_source`."""

    def __init__(self, provider: BrowserProvider, url: str, voices: Voices, relay: Relay) -> None:
        self._provider = provider
        self._url = url
        self._voices = voices
        self._relay = relay
        self._away = False

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is heard now."""
        return self._voices.participants

    async def over(self) -> str:
        """Wait until the call is over or lost."""
        return await self._voices.over()

    def withdraw(self, participant_id: str) -> bool:
        """Stop recording a participant from this moment on."""
        return self._voices.withdraw(participant_id)

    def finish(self) -> int:
        """Close every track at one common sample; nothing is written after this."""
        return self._voices.finish()

    def abandon(self) -> None:
        """Write nothing more and leave every track open."""
        self._voices.abandon()

    async def stay(self) -> None:
        """Be in the call; a browser that is lost is started anew, on the same timeline."""
        shortest, longest = _BACKOFF_SECONDS
        delay, in_since = shortest, monotonic()
        while True:
            lost: SourceLost
            try:
                async with self._provider.open_page(self._url, self._relay) as (browser, entrance):
                    await self._enter(browser, entrance)
                    delay = shortest
                    try:
                        self._voices.end(await self._watch(browser, entrance))
                        return
                    finally:
                        in_since = monotonic()
            except CallRefused as refused:
                self._voices.lose(refused)
                return
            except ProviderAway as away:
                lost = away
            except BrowserLost as gone:
                lost = SourceLost(f"the browser was lost: {gone}")
            finally:
                self._relay.interrupt()
            log.warning("browser_lost", reason=str(lost))
            if not self._voices.entered or monotonic() - in_since > self._provider.rejoin_seconds:
                self._voices.lose(lost)
                return
            self._away = True
            self._voices.away(str(lost))
            await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - jitter, not a secret
            delay = min(longest, delay * 2)

    async def _enter(self, browser: Browser, entrance: Entrance) -> None:
        await _unless_lost(browser, entrance.enter(self._provider.join_seconds))
        if self._away or not self._voices.entered:
            self._voices.enter()
        self._away = False

    async def _watch(self, browser: Browser, entrance: Entrance) -> str:
        """Watch until the call is over; returns why.

        Raises:
            BrowserLost: the browser or its page is.
        """
        weighing = asyncio.create_task(browser.weigh(self._provider.memory_mib), name="connector.browser.weigh")
        meeting = asyncio.create_task(self._meet_again(), name="connector.browser.meet")
        try:
            return await _unless_lost(browser, self._look(entrance))
        finally:
            for task in (weighing, meeting):
                task.cancel()
            await asyncio.gather(weighing, meeting, return_exceptions=True)

    async def _meet_again(self) -> None:
        await asyncio.sleep(MEET_SECONDS)
        self._relay.settle()

    async def _look(self, entrance: Entrance) -> str:
        was_in = was_connected = monotonic()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if await entrance.over():
                return "the page shows that the call is over"
            if self._relay.silent_seconds > STUCK_SECONDS:
                raise BrowserLost("the page is stuck")
            calls, moment = self._relay.calls, monotonic()
            if calls.connected or not calls.open:
                was_connected = moment
            if calls.open or (entrance.tells and await entrance.inside()):
                was_in = moment
            if moment - was_in > OUT_SECONDS:
                if entrance.tells:
                    raise BrowserLost("the page is not in the call any more")
                return "the page has closed its connections to the call"
            if moment - was_connected > MEDIA_LOST_SECONDS:
                raise BrowserLost("the page has lost its connections to the call")


async def _unless_lost(browser: Browser, work: Coroutine[Any, Any, T]) -> T:
    """Do some work in the page, for as long as there is one.

    Raises:
        BrowserLost: there is none any more.
    """
    working = asyncio.create_task(work, name="connector.browser.work")
    losing = asyncio.create_task(browser.lost(), name="connector.browser.lost")
    try:
        await asyncio.wait((working, losing), return_when=asyncio.FIRST_COMPLETED)
        if losing.done():
            losing.result()
        return working.result()
    finally:
        for task in (working, losing):
            task.cancel()
        await asyncio.gather(working, losing, return_exceptions=True)


def page_script(binding: str, recipe: Recipe) -> str:
    """Return the script for every frame; blocks on the disk."""
    wishes = {"binding": binding, "speakerName": recipe.speaker_name, "speakerId": recipe.speaker_id}
    return f"{_SCRIPT.read_text(encoding='utf-8').rstrip()}({json.dumps(wishes)});\n"


def _net_error(error: Exception) -> str:
    """Return what went wrong without the address, which may hold a password."""
    words = str(error).split()
    return next((word for word in words if word.startswith("net::")), type(error).__name__)


def _off(settings: BrowserSettings) -> str:
    if not settings.browser_enabled:
        return "joining with a browser is off: set BROWSER_ENABLED=true at the connector"
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install 'interview-analytics-agent[browser]' at the connector"
    if find_chromium(settings.chrome_executable_path) is None:
        return "there is no Chromium: install it at the connector, or set CHROME_EXECUTABLE_PATH to one that starts"
    return ""


def _make(settings: BrowserSettings, surroundings: Surroundings) -> BrowserProvider:
    executable = find_chromium(settings.chrome_executable_path)
    assert executable is not None
    try:
        recipes = read_recipes(settings.browser_recipes)
    except RecipeWrong as error:
        raise SettingsError([f"BROWSER_RECIPES: {error}"]) from error
    return BrowserProvider(settings, surroundings, executable, recipes)


KIND = ProviderKind(
    name="browser",
    summary="any web meeting, joined with a headless Chromium",
    address_form="https://host/path, the link that people open",
    capabilities=Capabilities(own_tracks=False, mute_signals=False),
    make=_make,
    settings=BrowserSettings,
    off=_off,
)
