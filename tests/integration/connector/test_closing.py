"""Closing a connection in whatever state it is: no task, no thread and no socket of it stays."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiortc import RTCSessionDescription

from services.connector.webrtc import aiortc_private
from services.connector.webrtc.answer import open_answered
from services.connector.webrtc.connection import close_connection, make_connection, set_local
from services.connector.webrtc.ice import IceAccess
from services.connector.webrtc.offer import open_offered
from tests.integration.connector.harness import until

NO_SERVERS = IceAccess()


def left() -> set[str]:
    """Return what is at work beside the test itself."""
    tasks = {repr(task.get_coro()) for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    return tasks | {thread.name for thread in threading.enumerate() if "decoder" in thread.name} | set(_sockets())


def _sockets() -> Iterator[str]:
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:"):
            yield target


async def test_a_call_that_is_left_while_it_comes_about_leaves_nothing() -> None:
    aiortc_private.install()
    before = left()
    for milliseconds in range(0, 60, 2):
        peer = make_connection(NO_SERVERS)
        peer.addTransceiver("audio", direction="sendonly")
        await set_local(peer, await peer.createOffer())
        opening = open_answered(peer.localDescription.sdp, NO_SERVERS, on_packet=lambda mid, packet: None)
        async with opening as answered:
            await peer.setRemoteDescription(RTCSessionDescription(answered.sdp, "answer"))
            await asyncio.sleep(milliseconds / 1000)  # at any moment
        await close_connection(peer)
    await until(lambda: left() <= before)


async def test_cancellations_while_candidates_are_gathered_leave_nothing() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        before = left()
        turn = {"urls": f"turn:127.0.0.1:{silent.getsockname()[1]}", "username": "u", "credential": "c"}

        async def offer() -> None:
            async with open_offered(1, IceAccess([turn]), on_packet=lambda mid, packet: None):
                pytest.fail("a TURN server that does not answer takes its time")

        offering = asyncio.create_task(offer())
        await until(lambda: len(left() - before) > 1)
        for _ in range(3):
            offering.cancel()
            await asyncio.sleep(0)
        await asyncio.wait({offering})
        assert offering.cancelled()
        await until(lambda: left() <= before)
