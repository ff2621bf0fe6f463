"""One Chromium for one call: started with a profile of its own, watched, and ended with everything that it started."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioice.ice

from kit.telemetry import logs

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

CANDIDATES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
START_SECONDS = 30.0
_CLOSE_SECONDS = 5.0
_WEIGH_SECONDS = 5.0
_NICENESS = 5
"""The browser gives way to the receive path of this and every other call."""
_PROFILE = "agent-browser-"
_FLAGS = (
    "--autoplay-policy=no-user-gesture-required",  # nobody is there to click; an unheard track is not decoded
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--js-flags=--max-old-space-size=512",
)
_LOOPBACK = "127.0.0.1"
# Media goes to this very machine; one that has no other address than loopback needs to be told that it may.
_LOOPBACK_FLAG = "--allow-loopback-in-peer-connection"
_VIEW = {"width": 1024, "height": 640}

log = logs.get()


class BrowserLost(Exception):
    """The browser or its page is gone or of no use any more; another one may help. The message says why."""


class BrowserMissing(Exception):
    """Chromium cannot be started on this machine; the message says why."""


Tell = Callable[[Any], Awaitable[str | None]]


class Browser:
    """A Chromium at work with one page; see `open_browser`."""

    def __init__(self, context: "BrowserContext", page: "Page", group: int) -> None:
        self.context = context
        self.page = page
        self.group = group
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lost.add_done_callback(lambda lost: lost.cancelled() or lost.exception())
        page.on("crash", lambda _: self.lose("its page crashed"))
        page.on("close", lambda _: self.lose("its page is gone"))
        context.on("close", lambda _: self.lose("it is gone"))

    def lose(self, why: str) -> None:
        """Note that the browser is of no use any more."""
        if not self._lost.done():
            self._lost.set_exception(BrowserLost(why))

    async def lost(self) -> None:
        """Wait until the browser is lost.

        Raises:
            BrowserLost: it is.
        """
        await asyncio.shield(self._lost)

    async def weigh(self, most_mib: int) -> None:
        """Give the browser up when it takes more memory than it may; until cancelled."""
        while True:
            await asyncio.sleep(_WEIGH_SECONDS)
            weight = await asyncio.to_thread(weight_mib, self.group)
            if weight > most_mib:
                self.lose(f"it took {weight} MiB of memory, {most_mib} are allowed")


def find_chromium(named: Path | None) -> Path | None:
    """Return the Chromium to start: the one that is named, or the first of the usual names that is installed."""
    if named is not None:
        return named if os.access(named, os.X_OK) else None
    found = next(filter(None, map(shutil.which, CANDIDATES)), None)
    return Path(found) if found else None


@asynccontextmanager
async def open_browser(executable: Path, script: str, binding: str, tell: Tell) -> AsyncIterator[Browser]:
    """Run a Chromium with an empty page for the block; nothing of it is left afterwards.

    Args:
        executable: Chromium or Chrome.
        script: runs in every frame before the page's own.
        binding: name under which that script finds `tell`.
        tell: takes what the script says.

    Raises:
        BrowserMissing: it cannot be started.
        BrowserLost: it was gone at once.
    """
    from playwright.async_api import Error, async_playwright

    await asyncio.to_thread(_remove_left_profiles)
    profile = Path(tempfile.mkdtemp(prefix=f"{_PROFILE}{os.getpid()}-"))
    group: int | None = None
    try:
        async with async_playwright() as driver:
            try:
                context = await driver.chromium.launch_persistent_context(
                    profile,
                    executable_path=executable,
                    headless=True,
                    args=[*_FLAGS, *([_LOOPBACK_FLAG] if _only_loopback() else [])],
                    # Chromium's sandbox cannot be had as root; everywhere else it stays.
                    chromium_sandbox=os.geteuid() != 0,
                    # Not ours: it holds keys, and any page's exploit would read them.
                    env={"HOME": str(profile), "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
                    permissions=["microphone"],
                    accept_downloads=False,
                    viewport=_VIEW,  # type: ignore[arg-type]  # a dict of two ints is what it takes
                    timeout=START_SECONDS * 1000,
                )
            except Error as error:
                raise BrowserMissing(f"{executable.name} does not start: {_first_line(error)}") from error
            group = await asyncio.to_thread(_group_of, profile)
            try:
                if group is not None:
                    with suppress(OSError):
                        os.setpriority(os.PRIO_PGRP, group, _NICENESS)
                try:
                    await context.expose_binding(binding, lambda source, message: tell(message))
                    await context.add_init_script(script)
                    page = context.pages[0] if context.pages else await context.new_page()
                except Error as error:
                    raise BrowserLost("the browser is gone") from error
                yield Browser(context, page, group or 0)
            finally:
                await _close(context)
    finally:
        group = (
            group if group is not None else await asyncio.to_thread(_group_of, profile)
        )  # cancelled while it started
        if group is not None:
            _kill(group)
        await asyncio.to_thread(shutil.rmtree, profile, ignore_errors=True)


def weight_mib(group: int) -> int:
    """Return the memory of a process group in MiB; what its processes share counts once."""
    total = 0
    for pid in _members(group):
        with suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total // 1024


async def _close(context: "BrowserContext") -> None:
    from playwright.async_api import Error

    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await context.close()
    except (Error, TimeoutError) as error:
        log.info("browser_close_failed", error=type(error).__name__)


def _kill(group: int) -> None:
    """End what is left of the browser: its group is its own, never ours."""
    if group != os.getpgid(0):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _group_of(profile: Path) -> int | None:
    """Return the process group of the browser that has a profile; None where there is no /proc to tell."""
    wanted = f"--user-data-dir={profile}".encode()
    for pid in _processes():
        with suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if wanted in arguments and not any(argument.startswith(b"--type=") for argument in arguments):
                group = os.getpgid(pid)
                return group if group != os.getpgid(0) else None
    return None


def _members(group: int) -> Sequence[int]:
    found = []
    for pid in _processes():
        with suppress(OSError):
            if group and os.getpgid(pid) == group:
                found.append(pid)
    return found


def _processes() -> Iterator[int]:
    with suppress(OSError):
        yield from (int(entry) for entry in os.listdir("/proc") if entry.isdecimal())  # noqa: PTH208 - 2x faster


def _remove_left_profiles() -> None:
    """Remove the profiles of processes that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PROFILE}*"):
        owner = left.name.removeprefix(_PROFILE).partition("-")[0]
        if owner.isdecimal() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _only_loopback() -> bool:
    return set(aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)) <= {_LOOPBACK}


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
