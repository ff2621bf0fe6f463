"""The wait for rooms that take long: as long as they come further, and a sentence when they do not."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit import progress
from kit.lifecycle import StartError
from mesh.child import Child
from mesh.notices import listening
from mesh.rooms import ROOMS, on_free_ports
from mesh.starting import all_serving
from tests.kit_server import eventually

_PATIENCE_SECONDS = 1.0


class Room:
    """A room on its way, moved by the test."""

    name = "stt"
    log_place = "logs/stt.log"

    def __init__(self) -> None:
        self.serving = asyncio.Event()
        self.notice = ""
        self.moved = asyncio.get_running_loop().time()

    def last_words(self) -> list[str]:
        return ["the last line"]

    def say(self, notice: str) -> None:
        self.notice, self.moved = notice, asyncio.get_running_loop().time()


async def test_a_room_that_comes_further_is_waited_for_however_long_it_takes() -> None:
    room, told = Room(), list[str]()

    async def come_further() -> None:
        for percent in range(10):
            room.say(f"{percent} %")
            await asyncio.sleep(_PATIENCE_SECONDS / 4)
        room.serving.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(come_further())
        await all_serving([room], moving=told.append, patience_seconds=_PATIENCE_SECONDS)
    assert told[0] == "stt: 0 %"
    assert len(told) > 4


@pytest.mark.parametrize(
    ("notice", "sentence"),
    [
        ("downloading small: 12 of 485 MiB", "stt has not come further for 0 s: downloading small: 12 of 485 MiB;"),
        ("", "stt was not ready after 0 s;"),
    ],
)
async def test_a_room_that_stands_still_is_named_with_what_it_was_doing(notice: str, sentence: str) -> None:
    room = Room()
    room.say(notice)
    with pytest.raises(StartError) as caught:
        await all_serving([room], patience_seconds=0.1)
    assert str(caught.value) == f"{sentence} see logs/stt.log\nthe last line"


async def test_what_a_process_tells_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    with listening(heard.append) as address:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        progress.tell("loading small")
        progress.tell("ready")
        await eventually(lambda: heard == ["loading small", "ready"])
    progress.tell("nobody reads this")  # and nothing happens


@asynccontextmanager
async def child(directory: Path, source: str) -> AsyncIterator[Child]:
    """A room whose process runs `source`."""
    (directory / "slow_room.py").write_text(source)
    room = type(ROOMS[0])("stt", "slow_room", "grpc", on_free_ports(ROOMS[:1])[0].port)
    path = ":".join([str(directory), *sys.path])
    one = Child(room, {"PYTHONPATH": path}, directory / "stt.log")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(one.supervise())
        try:
            yield one
        finally:
            await one.stop(5)


async def test_a_process_that_stands_still_ends_the_wait(tmp_path: Path) -> None:
    source = """
import time
from kit.progress import tell

print("what I do", flush=True)
tell("downloading")
time.sleep(60)
"""
    async with child(tmp_path, source) as one:
        await eventually(lambda: one.notice == "downloading", 20)
        with pytest.raises(StartError, match=r"stt has not come further for 0 s: downloading; see .*log\nwhat I do"):
            await all_serving([one], patience_seconds=0.2)
