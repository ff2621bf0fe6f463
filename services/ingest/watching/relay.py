"""Relays: what happens in a meeting that lives at another replica, told to everyone who watches it here.

One WatchMeeting call per meeting, however many watch. What it says goes to this replica's hub, where watchers take it
as if the meeting were here; each keeps its own cursor and has PostgreSQL for what was missed, so a relay may lose its
owner, find another or find the meeting here, and nobody sees more than a pause.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import grpc

from agent.ingest.v1 import meeting_service_pb2 as pb
from kit.auth.authenticator import TENANT_ID
from kit.db.tenancy import within
from kit.rpc.calls import held
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.intake.session import MeetingKey
from services.ingest.live.alarms import Told
from services.ingest.messages import meeting_message
from services.ingest.replicas.door import FORWARDED, Live, Owner
from services.ingest.replicas.peers import Peers
from services.ingest.retry import Backoff
from services.ingest.rows import MeetingRow
from services.ingest.watching.hub import LOOK_AGAIN, Hub
from services.ingest.watching.insights import Insights

_SUBJECT = "relay"
_LOOK_SECONDS = (0.2, 2.0)
_SILENT_HEARTBEATS = 3

log = logs.get()


class Owners(Protocol):
    """Who owns what."""

    async def owner(self, key: MeetingKey) -> Owner | None: ...


class Relay:
    """One meeting's; `run` ends when the meeting has."""

    def __init__(
        self,
        key: MeetingKey,
        row: MeetingRow,
        live: Live,
        owners: Owners,
        peers: Peers,
        hub: Hub,
        silent_seconds: float,
    ) -> None:
        self.insights = Insights()
        self.warnings = Told()
        self.watchers = 0
        self.interim_watchers = 0
        self._key = key
        self._live = live
        self._owners = owners
        self._peers = peers
        self._hub = hub
        self._silent_seconds = silent_seconds
        self._cursor = row.segments
        self._meeting = meeting_message(row)
        self._participants = {voice.participant_id: voice for voice in self._meeting.participants}
        self._followed = False
        self._over = False

    async def run(self) -> None:
        """Keep the hub told for as long as the meeting lives elsewhere; meanwhile it may also be here, or nowhere."""
        backoff = Backoff(*_LOOK_SECONDS)
        with logs.bind(meeting_id=self._key.meeting_id), within(self._key.tenant_id):
            while not self._over:
                try:
                    owner = None if self._here else await self._owners.owner(self._key)
                    if owner is not None and not owner.mine:
                        await self._listen(owner, backoff)
                        continue
                except Exception as lost:  # an edge: one meeting's trouble is not the others'
                    log.info("relay_lost", why=_why(lost))
                finally:
                    self._forget_warnings()
                self._catch_up()
                await backoff.pause()

    @property
    def _here(self) -> bool:
        return self._live.find(self._key) is not None

    def _forget_warnings(self) -> None:
        """Take back what an owner said is wrong: who speaks for the meeting next says it again if it still is."""
        for warning in self.warnings.catch_up():
            self._hub.publish(self._key, pb.WatchMeetingResponse(warning=warning))

    def _catch_up(self) -> None:
        """Let the watchers look into the store for what an owner stored and could not tell us.

        That goes on until an owner is heard again, or the meeting is here and speaks for itself.
        """
        if self._followed:
            self._followed = not self._here
            self._hub.publish(self._key, LOOK_AGAIN)

    async def _listen(self, owner: Owner, backoff: Backoff) -> None:
        """Hear what the owner says, until it ends, the meeting is here, or a watcher wants more or less than before."""
        interim = self.interim_watchers > 0
        request = pb.WatchMeetingRequest(meeting_id=self._key.meeting_id, after=self._cursor, interim=interim)
        metadata = ((TENANT_ID, self._key.tenant_id), (FORWARDED, _SUBJECT))
        async with self._peers.to(owner.address) as peer:
            with held(peer.meetings.WatchMeeting(request, metadata=metadata)) as call:
                log.info("relay_opened", owner=owner.replica_id, after=self._cursor)
                while not self._over and not self._here and interim == (self.interim_watchers > 0):
                    async with asyncio.timeout(self._silent_seconds):
                        event = await call.read()
                    if event is grpc.aio.EOF:
                        self._over = True
                        return
                    self._followed = True
                    backoff.reset()
                    self._tell(event)

    def _tell(self, event: pb.WatchMeetingResponse) -> None:
        """Pass an event on; what an owner says again to a new listener is known here."""
        match event.WhichOneof("event"):
            case "heartbeat" | None:
                return
            case "segment":
                self._cursor = max(self._cursor, event.segment.ordinal)
            case "insight" if not self.insights.add(event.insight):
                return
            case "warning":
                self.warnings.take(event.warning)
            case "participant":
                if self._participants.get(event.participant.participant_id) == event.participant:
                    return
                self._participants[event.participant.participant_id] = event.participant
            case "meeting":
                if event.meeting == self._meeting:
                    return
                self._meeting = event.meeting
                self._over = event.meeting.state in ("finished", "failed")
        self._hub.publish(self._key, event)


class Relays:
    """Relays by meeting; made by `open_relays`."""

    def __init__(
        self, live: Live, owners: Owners, peers: Peers, hub: Hub, heartbeat_seconds: float, tasks: asyncio.TaskGroup
    ) -> None:
        self._live = live
        self._owners = owners
        self._peers = peers
        self._hub = hub
        self._silent_seconds = heartbeat_seconds * _SILENT_HEARTBEATS
        self._tasks = tasks
        self._running: dict[MeetingKey, tuple[Relay, asyncio.Task[None]]] = {}

    @contextmanager
    def attend(self, key: MeetingKey, row: MeetingRow, *, interim: bool) -> Iterator[Relay]:
        """Have the hub told of a meeting for the block, wherever it lives.

        Subscribe before, and read the store after: what is not in the store yet will be in the hub.

        Args:
            key: the meeting.
            row: the meeting as it is in the store.
            interim: whether text in the making is wanted.
        """
        if key not in self._running:
            relay = Relay(key, row, self._live, self._owners, self._peers, self._hub, self._silent_seconds)
            # It outlives the call that began it, and has its own caller and no deadline.
            task = self._tasks.create_task(relay.run(), name="ingest.relay", context=contextvars.Context())
            self._running[key] = relay, task
            metrics.RELAYS.inc()
        relay, task = self._running[key]
        relay.watchers += 1
        relay.interim_watchers += interim
        try:
            yield relay
        finally:
            relay.watchers -= 1
            relay.interim_watchers -= interim
            if relay.watchers == 0:
                task.cancel()
                del self._running[key]
                metrics.RELAYS.dec()

    def close(self) -> None:
        """End all relays."""
        for _, task in self._running.values():
            task.cancel()


@asynccontextmanager
async def open_relays(
    live: Live, owners: Owners, peers: Peers, hub: Hub, *, heartbeat_seconds: float
) -> AsyncIterator[Relays]:
    """Keep relays for the block; an owner that says nothing for some heartbeats is asked anew."""
    async with asyncio.TaskGroup() as tasks:
        relays = Relays(live, owners, peers, hub, heartbeat_seconds, tasks)
        try:
            yield relays
        finally:
            relays.close()


def _why(error: Exception) -> str:
    return error.code().name if isinstance(error, grpc.aio.AioRpcError) else repr(error)
