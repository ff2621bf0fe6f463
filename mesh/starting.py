"""The wait until every room serves: as long as they come further, and not longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from kit.lifecycle import StartError
from kit.progress import PATIENCE_SECONDS

_CHECK_SECONDS = 0.25


class Starting(Protocol):
    """A room on its way: `mesh.child.Child`."""

    @property
    def name(self) -> str: ...
    @property
    def serving(self) -> asyncio.Event: ...
    @property
    def notice(self) -> str:
        """What it said last about its start."""
        ...

    @property
    def moved(self) -> float:
        """When it was started or said so, by the monotonic clock."""
        ...

    @property
    def log_place(self) -> str: ...
    def last_words(self) -> list[str]: ...


async def all_serving(
    rooms: Sequence[Starting],
    *,
    moving: Callable[[str], None] = lambda _: None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Wait until every room serves.

    Args:
        rooms: what has been started.
        moving: called with a room and what it says about its start, whenever that changes.
        patience_seconds: how long a room may be silent about its start before it is taken for stuck.

    Raises:
        StartError: a room did not come further.
    """
    told: dict[str, str] = {}
    while late := [room for room in rooms if not room.serving.is_set()]:
        for room in late:
            if room.notice != told.get(room.name, ""):
                told[room.name] = room.notice
                moving(f"{room.name}: {room.notice}")
            if time.monotonic() - room.moved > patience_seconds:
                raise StartError(_stuck(room, patience_seconds))
        await asyncio.sleep(_CHECK_SECONDS)


def _stuck(room: Starting, seconds: float) -> str:
    if room.notice:
        what = f"{room.name} has not come further for {seconds:.0f} s: {room.notice}"
    else:
        what = f"{room.name} was not ready after {seconds:.0f} s"
    return "\n".join([f"{what}; see {room.log_place}", *room.last_words()])
