"""Work for a client that may hang up."""

import asyncio

import pytest
from starlette.types import Message

from gateway.errors import ClientGone
from gateway.rest.exchange import or_gone


class Client:
    """What a server hands an application of a client that hangs up when told."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def test_work_that_ends_in_time_gives_its_result_and_leaves_nothing_behind():
    client = Client()

    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await or_gone(client.receive, work()) == 7
    client.gone.set()
    for _ in range(3):
        await asyncio.sleep(0)  # a watcher that still watched would cancel us here
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "rest.hang_up"] == []


async def test_a_hang_up_cancels_the_work_and_nothing_else():
    client = Client()
    cancelled = asyncio.Event()

    async def work() -> None:
        client.gone.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(ClientGone):
        await or_gone(client.receive, work())
    assert cancelled.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_cancellation_from_outside_travels_even_when_the_client_hangs_up_too():
    client = Client()
    working = asyncio.Event()

    async def work() -> None:
        working.set()
        await asyncio.Event().wait()

    serving = asyncio.create_task(or_gone(client.receive, work()))
    await working.wait()
    client.gone.set()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert serving.cancelled()


async def test_work_that_fails_says_so():
    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await or_gone(Client().receive, work())
