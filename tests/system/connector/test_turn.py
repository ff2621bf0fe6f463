"""A recorder that may use no path but through a TURN server, and TURN servers that are not there."""

import asyncio
import re
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aioice.ice
import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from examples.callers.player import Player
from examples.callers.speech import speech_from_samples
from kit.ids import new_id
from services.connector.clock import SessionClock
from services.connector.errors import OfferRejected
from services.connector.provider import JoinSpec, Patience, Surroundings
from services.connector.providers.whip import WhipProvider, WhipSettings, WhipSource
from services.connector.webrtc import aiortc_private
from services.connector.webrtc.ice import IceAccess
from tests.fakes.call_recording import CallRecording
from tests.fakes.whip_publisher import offer_of
from tests.integration.connector.harness import place_of, speech_like, until
from tests.system.connector.ports import free_ports, media_ports

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("turnserver") is None, reason="Debian's package coturn is not installed"),
]

USER, PASSWORD = "recorder", "password-of-the-tests"


@asynccontextmanager
async def running_turn(folder: Path, address: str) -> AsyncIterator[str]:
    """Run coturn for the block; yields its host and port."""
    (port,) = free_ports(1)
    relayed = media_ports()
    options = {
        "listening-ip": address,
        "relay-ip": address,
        "listening-port": str(port),
        "min-port": str(relayed.start),
        "max-port": str(relayed.stop),
        "realm": "test",
        "user": f"{USER}:{PASSWORD}",
        "pidfile": str(folder / "pid"),
        "db": str(folder / "db"),
        "log-file": "stdout",
    }
    flags = ["-n", "--lt-cred-mech", "--no-tls", "--no-dtls", "--no-cli", "--allow-loopback-peers"]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "turnserver", *flags, *(f"--{name}={value}" for name, value in options.items()), stdout=log, stderr=log
        )
    try:
        await until(lambda: _accepts(address, port))
        yield f"{address}:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _accepts(address: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


def own_address() -> str:
    """Return an address of this machine, as a recorder would offer it."""
    aiortc_private.install()
    return aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=False)[0]


@asynccontextmanager
async def recorder(ice: IceAccess, recording: CallRecording) -> AsyncIterator[WhipSource]:
    provider = WhipProvider(WhipSettings(), Surroundings("", None, patience=Patience(empty_room=1.0), ice=ice))
    async with provider.open_source(JoinSpec(new_id(), "acme"), SessionClock(), recording, recording) as source:
        yield source


@asynccontextmanager
async def publisher(player: Player) -> AsyncIterator[tuple[RTCPeerConnection, str]]:
    """Yields a connection and its offer."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    try:
        yield connection, await offer_of(connection, player)
    finally:
        await connection.close()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_recorder_hears_through_a_relay_alone(tmp_path: Path, transport: str) -> None:
    said = speech_like(2.0, 1)
    player, recording = Player(speech_from_samples(said)), CallRecording()
    async with running_turn(tmp_path, own_address()) as turn:
        server = {"urls": f"turn:{turn}?transport={transport}", "username": USER, "credential": PASSWORD}
        async with (
            recorder(IceAccess([server], relay_only=True), recording) as source,
            publisher(player) as (connection, offer),
        ):
            _, answer = await source.publish(offer, "Alice")
            assert set(re.findall(r"^a=candidate:.* typ (\w+)", answer, flags=re.MULTILINE)) == {"relay"}
            await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            await until(lambda: recording.heard("Alice") > 0)
            player.start()
            await player.finished.wait()
            await asyncio.sleep(0.3)
            source.finish()
    assert place_of(said, recording.track("Alice").samples)[1] > 0.9


async def test_a_turn_server_that_is_not_there_costs_seconds_and_not_the_call() -> None:
    player, recording = Player(speech_from_samples(speech_like(0.5, 1))), CallRecording()
    (port,) = free_ports(1)
    dead = {"urls": f"turn:127.0.0.1:{port}", "username": USER, "credential": PASSWORD}
    async with recorder(IceAccess([dead]), recording) as source, publisher(player) as (connection, offer):
        began = time.monotonic()
        _, answer = await source.publish(offer, "Alice")
        assert time.monotonic() - began < 9.0
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await until(lambda: recording.heard("Alice") > 0)
    async with (
        recorder(IceAccess([dead], relay_only=True), CallRecording()) as source,
        publisher(player) as (_, offer),
    ):
        with pytest.raises(OfferRejected, match="no address now"):
            await source.publish(offer, "Alice")
