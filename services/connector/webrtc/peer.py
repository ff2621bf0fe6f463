"""A peer link: the connection that receives one participant's voice, renewed whenever it is lost."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiortc import RTCIceCandidate, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp

from kit.clock import monotonic
from kit.telemetry import logs
from services.connector.receive.receiver import OpusPacket
from services.connector.webrtc import aiortc_private
from services.connector.webrtc.connection import close_connection, make_connection, prefer_opus, set_local
from services.connector.webrtc.ice import IceAccess
from services.connector.webrtc.sdp import fault_of, fingerprint_of

FIRST_OFFER_SECONDS = 10.0
CONNECT_SECONDS = 5.0
BACKOFF_SECONDS = (0.5, 15.0)
_INBOX = 256
_MOST_CANDIDATES = 256

log = logs.get()


@dataclass(frozen=True, slots=True)
class _StateChange:
    connection: RTCPeerConnection
    state: str


class PeerLink:
    """Answers a peer's offers and asks for a new one when the connection is lost or does not come about in 5 s.

    The recorder never offers, so there is never glare; aiortc has neither rollback nor ICE restart, so a new offer
    from other credentials means a new connection.

    Args:
        ice: STUN and TURN servers, ours and those that the room named.
        signal: sends a payload to the peer.
        on_packet: takes the peer's Opus packets.
        on_connected: told when media is connected.
        on_publishing: told with each offer whether the peer sends audio at all.
    """

    def __init__(
        self,
        ice: IceAccess,
        *,
        signal: Callable[[dict[str, Any]], Awaitable[None]],
        on_packet: Callable[[OpusPacket], None],
        on_connected: Callable[[], None],
        on_publishing: Callable[[bool], None],
    ) -> None:
        self._ice = ice
        self._signal = signal
        self._on_packet = on_packet
        self._on_connected = on_connected
        self._on_publishing = on_publishing
        self._inbox: asyncio.Queue[dict[str, Any] | _StateChange] = asyncio.Queue(_INBOX + 32)
        self._connection: RTCPeerConnection | None = None
        self._fingerprint: str | None = None
        self._tapped = False
        self._candidates = 0
        self._failures = 0
        self._restart_at: float | None = monotonic() + FIRST_OFFER_SECONDS

    def deliver(self, data: dict[str, Any]) -> None:
        """Take a payload from the peer. Beyond 256 that wait, more are dropped: the connection is then made anew."""
        if self._inbox.qsize() < _INBOX:
            self._inbox.put_nowait(data)

    async def run(self) -> None:
        """Keep the link until cancelled."""
        try:
            while True:
                try:
                    async with asyncio.timeout_at(self._loop_time(self._restart_at)):
                        message = await self._inbox.get()
                except TimeoutError:
                    await self._ask_again()
                    continue
                try:
                    await self._take(message)
                except Exception as error:  # a peer may send anything; only its own link suffers
                    log.warning("peer_signal_failed", error=repr(error)[:200])
                    self._plan_restart()
        finally:
            await self._close()

    async def _take(self, message: dict[str, Any] | _StateChange) -> None:
        match message:
            case _StateChange(connection, state) if connection is self._connection:
                await self._changed(state)
            case {"description": {"type": "offer", "sdp": str() as sdp}}:
                await self._answer(sdp)
            case {"candidate": candidate}:
                await self._add_candidate(candidate)

    async def _answer(self, sdp: str) -> None:
        if fault := fault_of(sdp):
            raise ValueError(fault)
        credentials = fingerprint_of(sdp)
        anew = self._connection is None or credentials != self._fingerprint
        if self._connection is None or anew:
            await self._close()
            self._connection = self._connect()
            self._fingerprint = credentials
            self._restart_at = None
            if re.search(r"^m=audio ", sdp, flags=re.MULTILINE):
                prefer_opus(self._connection)
        connection = self._connection
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        aiortc_private.learn_ssrcs(connection)
        self._on_publishing(self._tapped)
        for transceiver in connection.getTransceivers():
            if transceiver.kind == "video":
                transceiver.direction = "inactive"
        await set_local(connection, await connection.createAnswer())
        local = connection.localDescription
        await self._signal({"description": {"type": local.type, "sdp": local.sdp}})
        if anew:  # from now: with a dead TURN server, gathering alone takes longer than connecting may
            self._restart_at = monotonic() + CONNECT_SECONDS

    def _connect(self) -> RTCPeerConnection:
        connection = make_connection(self._ice)
        self._tapped = False
        self._candidates = 0

        def state_changed() -> None:
            self._inbox.put_nowait(_StateChange(connection, connection.connectionState))

        def track_added(track: Any) -> None:
            receiver: RTCRtpReceiver = next(
                transceiver.receiver
                for transceiver in connection.getTransceivers()
                if transceiver.receiver.track is track
            )
            if track.kind == "audio" and not self._tapped:
                self._tapped = True
                aiortc_private.tap(receiver, self._on_packet)
            else:
                aiortc_private.discard(receiver)

        connection.on("connectionstatechange", state_changed)
        connection.on("track", track_added)
        return connection

    async def _changed(self, state: str) -> None:
        if state == "connected":
            self._failures = 0
            self._restart_at = None
            self._on_connected()
        elif state in ("closed", "failed"):
            log.info("peer_connection_lost", state=state)
            await self._close()
            self._plan_restart()

    async def _add_candidate(self, candidate: dict[str, Any] | None) -> None:
        if self._connection is None or self._connection.remoteDescription is None:
            return
        if not candidate or not candidate.get("candidate"):
            await self._connection.addIceCandidate(None)
            return
        self._candidates += 1
        if self._candidates <= _MOST_CANDIDATES:
            await self._connection.addIceCandidate(ice_candidate(candidate))

    async def _ask_again(self) -> None:
        """Drop what did not come about and ask the peer for a new offer."""
        await self._close()
        self._plan_restart()
        assert self._restart_at is not None
        self._restart_at += CONNECT_SECONDS
        await self._signal({"restart": True})

    def _plan_restart(self) -> None:
        shortest, longest = BACKOFF_SECONDS
        delay = min(longest, shortest * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._restart_at = monotonic() + random.uniform(delay / 2, delay)  # noqa: S311 - jitter, not a secret

    async def _close(self) -> None:
        connection, self._connection, self._fingerprint = self._connection, None, None
        if connection is not None:
            await close_connection(connection)

    @staticmethod
    def _loop_time(moment: float | None) -> float | None:
        return None if moment is None else asyncio.get_running_loop().time() + max(0.0, moment - monotonic())


def ice_candidate(raw: dict[str, Any]) -> RTCIceCandidate:
    """Turn a browser's RTCIceCandidate dictionary into aiortc's."""
    candidate = candidate_from_sdp(str(raw["candidate"]).split(":", 1)[-1])
    candidate.sdpMid = raw.get("sdpMid")
    candidate.sdpMLineIndex = raw.get("sdpMLineIndex")
    return candidate
