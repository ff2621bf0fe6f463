"""Waiting for what nobody announces: other processes, files and rows."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], bool] | Callable[[], Awaitable[bool]], every_seconds: float) -> None:
    """Look again and again until a condition holds; the caller sets the bound."""
    while True:
        held = holds()
        if await held if inspect.isawaitable(held) else held:
            return
        await asyncio.sleep(every_seconds)
