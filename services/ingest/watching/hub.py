"""The hub: what happens in a meeting, told to everyone who watches it in this process.

The hub forgets at once. Whoever falls behind is dropped and starts over from the store with its cursor, so a slow
watcher costs a bounded amount of memory and nobody else anything. Levels are worth nothing a moment later: they never
queue, only the newest waits until there is nothing else to say.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from agent.ingest.v1 import meeting_service_pb2 as pb
from services.ingest import metrics
from services.ingest.errors import Draining
from services.ingest.intake.session import MeetingKey
from services.ingest.pulse import Pulse

LOOK_AGAIN = pb.WatchMeetingResponse()
"""Says nothing but that the store may know more than the hub has told."""


class FellBehind(Exception):
    """The subscriber did not keep up and missed events; it has to start over."""


class Subscription:
    """One watcher's queue.

    Args:
        size: events that may wait.
        levels: whether the watcher looks on, and wants to know how loud everybody is.
    """

    def __init__(self, size: int, *, levels: bool = True) -> None:
        self.wants_levels = levels
        self._events: asyncio.Queue[pb.WatchMeetingResponse] = asyncio.Queue(size)
        self._levels: pb.WatchMeetingResponse | None = None
        self._changed = Pulse()
        self._behind = False
        self._closed = False

    def offer(self, event: pb.WatchMeetingResponse) -> None:
        """Put an event, unless the watcher has fallen behind."""
        if event.HasField("levels"):
            if self.wants_levels:
                self._levels = event
                self._changed.beat()
            return
        if self._events.full():
            if not self._behind:
                metrics.WATCHERS_DROPPED.inc()
            self._behind = True
        if not self._behind:
            self._events.put_nowait(event)
        self._changed.beat()

    def close(self) -> None:
        """Send the watcher away."""
        self._closed = True
        self._changed.beat()

    async def next(self) -> pb.WatchMeetingResponse:
        """Return the next event; waits for it.

        Raises:
            FellBehind: events were missed.
            Draining: the server is stopping.
        """
        while True:
            if self._closed:
                raise Draining
            if self._behind:
                raise FellBehind
            if not self._events.empty():
                return self._events.get_nowait()
            if self._levels is not None:
                levels, self._levels = self._levels, None
                return levels
            await self._changed.coming.wait()


class Hub:
    """Subscriptions per meeting."""

    def __init__(self, queue_size: int = 256) -> None:
        self._queue_size = queue_size
        self._subscriptions: dict[MeetingKey, set[Subscription]] = {}
        self._arrivals = Pulse()
        self._closed = False

    def publish(self, key: MeetingKey, event: pb.WatchMeetingResponse) -> None:
        """Tell everyone who watches the meeting; never waits. The event is shared: nobody may change it."""
        for subscription in self._subscriptions.get(key, ()):
            subscription.offer(event)

    def close(self) -> None:
        """Send every watcher away, those to come too."""
        self._closed = True
        for watchers in self._subscriptions.values():
            for subscription in watchers:
                subscription.close()

    def watched(self, key: MeetingKey) -> bool:
        """Return whether anybody watches the meeting."""
        return key in self._subscriptions

    def is_looked_on(self, key: MeetingKey) -> bool:
        """Return whether anybody wants to know how loud everybody is."""
        return any(subscription.wants_levels for subscription in self._subscriptions.get(key, ()))

    async def looked_on(self, key: MeetingKey) -> None:
        """Wait until somebody wants to know how loud everybody is."""
        while True:
            coming = self._arrivals.coming
            if self.is_looked_on(key):
                return
            await coming.wait()

    @contextmanager
    def subscribe(self, key: MeetingKey, *, levels: bool = True) -> Iterator[Subscription]:
        """Watch a meeting for the block.

        Args:
            key: the meeting.
            levels: whether it matters how loud everybody is; if it does to nobody, nobody looks.
        """
        subscription = Subscription(self._queue_size, levels=levels)
        if self._closed:
            subscription.close()
        self._subscriptions.setdefault(key, set()).add(subscription)
        if levels:
            self._arrivals.beat()
        try:
            yield subscription
        finally:
            watchers = self._subscriptions[key]
            watchers.discard(subscription)
            if not watchers:
                del self._subscriptions[key]
