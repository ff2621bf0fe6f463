"""The way in: the recorder's name into the field for it, the buttons that lead on, until the call has begun."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from kit.clock import monotonic
from services.connector.provider import CallRefused
from services.connector.providers.browser_process import Browser, BrowserLost
from services.connector.providers.browser_recipes import Recipe

if TYPE_CHECKING:
    from playwright.async_api import Frame

LOOK_SECONDS = 0.5
PRESS_AGAIN_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""Time for the page to answer one question; one that takes longer is stuck."""
_ACT_MILLISECONDS = 1_000.0


class Entrance:
    """Enters the call that a browser's page shows.

    Args:
        browser: with the page.
        recipe: of the site.
        name: for the recorder.
        connected: whether a connection of the page has come about, for sites whose recipe does not tell.
    """

    def __init__(self, browser: Browser, recipe: Recipe, name: str, connected: Callable[[], bool]) -> None:
        self._browser = browser
        self._recipe = recipe
        self._name = name
        self._connected = connected
        self._pressed: dict[tuple[int, str], float] = {}

    async def enter(self, seconds: float) -> None:
        """Go in; returns once the recorder is in the call.

        Raises:
            CallRefused: the page sent the recorder away, or did not let it in within `seconds`.
            BrowserLost: the page is stuck.
        """
        deadline = monotonic() + seconds
        while not await self.inside():
            if await self.over():
                raise CallRefused("the page says that the call is over, or sent the recorder away")
            if monotonic() > deadline:
                raise CallRefused(f"the page did not let the recorder in within {seconds:g} s")
            for frame in self._frames():
                await self._fill(frame)
                await self._press(frame)
            await asyncio.sleep(LOOK_SECONDS)

    @property
    def tells(self) -> bool:
        """Whether the site's recipe says how to see that the recorder is in."""
        return bool(self._recipe.inside)

    async def inside(self) -> bool:
        """Return whether the recorder is in the call, as far as the page shows."""
        return await self._any(self._recipe.inside) if self._recipe.inside else self._connected()

    async def over(self) -> bool:
        """Return whether the page shows that the call is over or the recorder is out of it."""
        return bool(self._recipe.over) and await self._any(self._recipe.over)

    async def _any(self, selector: str) -> bool:
        from playwright.async_api import Error

        for frame in self._frames():
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    if await frame.locator(selector).count():
                        return True
            except Error:  # the frame is being replaced
                continue
            except TimeoutError as error:
                raise BrowserLost("the page is stuck") from error
        return False

    async def _fill(self, frame: "Frame") -> None:
        from playwright.async_api import Error

        for selector in self._recipe.name_fields:
            field = frame.locator(selector).first
            with suppress(Error):  # it went away, or something lies over it: there is a next time
                if await self._visible(frame, selector):
                    if await field.input_value(timeout=_ACT_MILLISECONDS) != self._name:
                        await field.fill(self._name, timeout=_ACT_MILLISECONDS)
                    return

    async def _press(self, frame: "Frame") -> None:
        from playwright.async_api import Error

        for selector in self._recipe.buttons:
            key = id(frame), selector
            if monotonic() - self._pressed.get(key, -PRESS_AGAIN_SECONDS) < PRESS_AGAIN_SECONDS:
                continue
            button = frame.locator(selector).first
            with suppress(Error):
                if await self._visible(frame, selector) and await button.is_enabled(timeout=_ACT_MILLISECONDS):
                    await button.click(timeout=_ACT_MILLISECONDS)
                    self._pressed[key] = monotonic()
                    return

    async def _visible(self, frame: "Frame", selector: str) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await frame.locator(selector).first.is_visible()
        except TimeoutError as error:
            raise BrowserLost("the page is stuck") from error

    def _frames(self) -> "list[Frame]":
        """Return the frames of every page: some sites open the call in a window of its own."""
        return [frame for page in self._browser.context.pages for frame in page.frames]
