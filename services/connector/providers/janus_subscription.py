"""A subscription at a Janus VideoRoom: one connection that brings the audio of everybody who publishes."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kit.telemetry import logs
from services.connector.providers.janus_client import Handle, JanusError, JanusGone, JanusSession, Json, plugin_data
from services.connector.receive.receiver import OpusPacket
from services.connector.webrtc.answer import Answered, OfferUnusable, open_answered
from services.connector.webrtc.ice import IceAccess

VIDEOROOM = "janus.plugin.videoroom"
_BACKOFF_SECONDS = (0.5, 5.0)
_LATER_SECONDS = 1.0

Feed = tuple[str, str]
"""A publisher's identifier and the MID of one of their streams."""

log = logs.get()


class Subscription:
    """Keeps what is received the same as what is wanted, over one connection that is renewed when it is lost.

    A line of the connection passes from one publisher to the next. It belongs to whom the server's last list says,
    and to nobody from the moment its publisher is no longer wanted: so nobody is heard under another's name.

    Args:
        session: at the server.
        joining: fields of the join request, the room among them.
        ice: STUN and TURN servers.
        on_packet: takes a feed and a packet of it.
        on_connected: told when media is connected.
    """

    def __init__(
        self,
        session: JanusSession,
        joining: Json,
        ice: IceAccess,
        *,
        on_packet: Callable[[Feed, OpusPacket], None],
        on_connected: Callable[[], None],
    ) -> None:
        self._session = session
        self._joining = joining
        self._ice = ice
        self._on_packet = on_packet
        self._on_connected = on_connected
        self._wanted: Mapping[Feed, Any] = {}
        self._changed = asyncio.Event()
        self._lines: dict[str, Feed] = {}

    def want(self, feeds: Mapping[Feed, Any]) -> None:
        """Receive these feeds from now on; the keys are the server's own, as it takes them in requests."""
        self._wanted = dict(feeds)
        self._changed.set()

    async def run(self) -> None:
        """Receive until cancelled, or until the session is lost."""
        shortest, longest = _BACKOFF_SECONDS
        delay = shortest
        while True:
            while not self._wanted:
                self._changed.clear()
                await self._changed.wait()
            try:
                log.info("janus_subscription_over", reason=await self._receive())
                delay = shortest
            except (JanusError, OfferUnusable) as error:
                log.warning("janus_subscription_failed", error=str(error))
            except JanusGone:
                return  # the session is lost, and whoever holds it knows
            self._lines = {}
            await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - jitter, not a secret
            delay = min(longest, delay * 2)

    async def _receive(self) -> str:
        handle = await self._session.attach(VIDEOROOM)
        try:
            self._changed.clear()
            request = {**self._joining, "request": "join", "ptype": "subscriber", "streams": self._named(self._wanted)}
            attached = await handle.message(request)
            self._note_lines(attached)
            opening = open_answered(
                str(attached["jsep"]["sdp"]), self._ice, on_packet=self._take, on_state=self._state_changed
            )
            async with opening as answered:
                await self._start(handle, answered)
                return await self._follow(handle, answered)
        finally:
            try:
                await handle.detach()
            except (JanusError, JanusGone):
                log.info("janus_handle_gone")

    async def _follow(self, handle: Handle, answered: Answered) -> str:
        """Keep up with what is wanted and with what the server offers, until the connection is lost."""
        over = asyncio.create_task(answered.over(), name="connector.janus.connection")
        told = asyncio.create_task(handle.events.get(), name="connector.janus.told")
        changed = asyncio.create_task(self._changed.wait(), name="connector.janus.changed")
        waiting: set[asyncio.Task[Any]] = {over, told, changed}
        try:
            while True:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if over.done():
                    return over.result()
                if told.done():
                    event = told.result()
                    if event.get("janus") in ("hangup", "detached"):
                        return f"Janus ended the connection ({event.get('reason', 'no reason given')})"
                    await self._negotiate(event, handle, answered)
                    told = asyncio.create_task(handle.events.get(), name="connector.janus.told")
                elif changed.done():
                    self._changed.clear()
                    await self._update(handle, answered)
                    changed = asyncio.create_task(self._changed.wait(), name="connector.janus.changed")
                waiting = {over, told, changed}
        finally:
            for task in (over, told, changed):
                task.cancel()
            await asyncio.gather(over, told, changed, return_exceptions=True)

    async def _update(self, handle: Handle, answered: Answered) -> None:
        received = set(self._lines.values())
        request: Json = {"request": "update"}
        if added := [feed for feed in self._wanted if feed not in received]:
            request["subscribe"] = self._named(added)
        if not added:
            return  # who left takes their stream along: the server says so by itself
        try:
            await self._negotiate(await handle.message(request), handle, answered)
        except JanusError as error:  # somebody left meanwhile, perhaps
            log.info("janus_update_refused", code=error.code)
            asyncio.get_running_loop().call_later(_LATER_SECONDS, self._changed.set)

    async def _negotiate(self, event: Json, handle: Handle, answered: Answered) -> None:
        self._note_lines(event)
        jsep = event.get("jsep")
        if isinstance(jsep, dict) and jsep.get("type") == "offer":
            await answered.answer(str(jsep.get("sdp", "")))
            await self._start(handle, answered)
            self._changed.set()  # what was wanted while the server waited for this answer

    async def _start(self, handle: Handle, answered: Answered) -> None:
        await handle.message({"request": "start"}, {"type": "answer", "sdp": answered.sdp})

    def _note_lines(self, event: Json) -> None:
        streams = plugin_data(event).get("streams")
        if isinstance(streams, list):
            self._lines = {
                str(stream["mid"]): (str(stream["feed_id"]), str(stream["feed_mid"]))
                for stream in streams
                if stream.get("type") == "audio" and stream.get("active") and "feed_id" in stream
            }

    def _named(self, feeds: Mapping[Feed, Any] | Sequence[Feed]) -> list[Json]:
        return [{"feed": self._wanted[feed], "mid": feed[1]} for feed in feeds if feed in self._wanted]

    def _take(self, mid: str, packet: OpusPacket) -> None:
        feed = self._lines.get(mid)
        if feed in self._wanted and feed is not None:
            self._on_packet(feed, packet)

    def _state_changed(self, state: str) -> None:
        if state == "connected":
            self._on_connected()
