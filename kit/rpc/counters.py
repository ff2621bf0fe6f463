"""Metrics of RPCs: started, handled by code, time taken, open now, messages of streams."""

from prometheus_client import Counter, Gauge, Histogram

_LABELS = ("room", "service", "method")
_STARTED = Counter("agent_rpc_started", "RPCs that arrived.", _LABELS)
_HANDLED = Counter("agent_rpc_handled", "RPCs that ended, by status code.", (*_LABELS, "code"))
_SECONDS = Histogram(
    "agent_rpc_seconds",
    "Time from arrival to status, in seconds; streams count from open to end.",
    _LABELS,
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3600),
)
_OPEN = Gauge("agent_rpc_open", "RPCs open now.", _LABELS)
_MESSAGES = Counter("agent_rpc_stream_messages", "Messages of streams, by direction.", (*_LABELS, "direction"))


class RpcCounters:
    """The metrics of one method in one room; looked up once, since labels cost more than counting."""

    def __init__(self, room: str, path: str) -> None:
        service, _, method = path.lstrip("/").rpartition("/")
        self._labels = (room, service, method)
        self._started = _STARTED.labels(*self._labels)
        self._seconds = _SECONDS.labels(*self._labels)
        self._open = _OPEN.labels(*self._labels)
        self.received = _MESSAGES.labels(*self._labels, "received")
        self.sent = _MESSAGES.labels(*self._labels, "sent")

    def start(self) -> None:
        """Count an RPC that arrived."""
        self._started.inc()
        self._open.inc()

    def finish(self, code: str, seconds: float) -> None:
        """Count an RPC that ended with `code` after `seconds`."""
        self._open.dec()
        self._seconds.observe(seconds)
        _HANDLED.labels(*self._labels, code).inc()
