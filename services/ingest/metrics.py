"""Metrics of the ingest room; RPCs are counted by the kit."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

SESSIONS = Gauge("agent_ingest_sessions", "Sessions that are open now.")
MEETINGS = Gauge("agent_ingest_meetings", "Meetings that are live or being finished.")
DURABLE_SECONDS = Histogram(
    "agent_ingest_durable_seconds", "Age of the oldest message of a commit when it is on disk.", buckets=_SECONDS
)
JOURNAL_BYTES = Counter("agent_ingest_journal_bytes", "Bytes written to journals.")
LAG_SECONDS = Gauge("agent_ingest_lag_seconds", "Age of the oldest audio that is not decided, over all tracks.")
SEGMENTS = Counter("agent_ingest_segments", "Segments settled, by speech engine.", ("engine",))
FEED_REOPENED = Counter("agent_ingest_feed_reopened", "Recognition streams that were lost and opened again.")
COVERAGE_SECONDS = Counter(
    "agent_ingest_coverage_seconds", "Participants' time in finished meetings, by what became of it.", ("kind",)
)
PENDING_SECONDS = Gauge("agent_ingest_pending_seconds", "Sound in live meetings that is not decided, over all tracks.")
PENDING_STALLED_SECONDS = Gauge(
    "agent_ingest_pending_stalled_seconds", "Longest time for which a track with such sound had nothing decided."
)
LOST_SECONDS = Gauge("agent_ingest_lost_seconds", "Time that never arrived in live meetings, over all tracks.")
WARNINGS = Gauge("agent_ingest_warnings", "Warnings to watchers of live meetings that hold now.", ("kind",))
WARNINGS_RAISED = Counter("agent_ingest_warnings_raised", "Warnings to watchers of live meetings.", ("kind",))
DISK_FREE_BYTES = Gauge("agent_ingest_journal_disk_free_bytes", "Space on the journals' disk.")
DISK_MIN_FREE_BYTES = Gauge(
    "agent_ingest_journal_disk_min_free_bytes", "Space on the journals' disk below which new sessions are refused."
)
SEALED_TRACKS = Counter("agent_ingest_sealed_tracks", "Tracks sealed to the blob store.")
ERASED = Counter("agent_ingest_erased", "Meetings and recordings erased, on request or for their age.", ("what", "by"))
WATCHERS_DROPPED = Counter("agent_ingest_watchers_dropped", "Subscribers that fell behind and had to start over.")
FORWARDED = Counter("agent_ingest_forwarded", "Calls forwarded to the replica that owns the meeting.")
RELAYS = Gauge("agent_ingest_relays", "Meetings watched through this replica, its own and others'.")
