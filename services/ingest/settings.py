"""Settings of the ingest room: INGEST_* and MEETING_*."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from kit.settings import Address, Section
from services.ingest.feed import FeedOptions
from services.ingest.session import SessionLimits
from services.ingest.timeline import samples_of


class IngestSettings(Section):
    """Durable audio."""

    model_config = SettingsConfigDict(env_prefix="INGEST_")

    listen: Address = "127.0.0.1:8021"
    """gRPC address of the room."""
    metrics_listen: Address = "127.0.0.1:9021"
    """Address of the Prometheus page."""

    commit_interval_seconds: Annotated[float, Field(gt=0, le=5)] = 0.2
    """Least time between two syncs of a journal; audio is acknowledged after the sync."""
    journal_threads: PositiveInt = 8
    """Threads that write journals."""
    min_free_mb: NonNegativeInt = 512
    """Space on the journals' disk, in MiB, below which new sessions are refused; running ones go on."""
    window: Annotated[int, Field(ge=16, le=65_536)] = 1_024
    """Messages of a session that may be unacknowledged; a client that sends more is slowed down."""
    max_tracks: PositiveInt = 64
    """Tracks of one session."""
    max_sessions_per_meeting: PositiveInt = 64
    """Sessions of one meeting over its whole length."""
    session_timeout_seconds: PositiveFloat = 60.0
    """Time that a session waits for its client to come back before it is finished from the journal."""
    chunk_timeout_seconds: PositiveFloat = 900.0
    """Time without a chunk after which a meeting that is fed by chunks is finished."""
    finish_grace_seconds: PositiveFloat = 10.0
    """Time that clients have to end their sessions after FinishMeeting."""
    heartbeat_seconds: PositiveFloat = 5.0
    """Time between two status messages to a client."""

    chunk_max_bytes: PositiveInt = 8 * 1024 * 1024
    """Largest encoded chunk."""
    chunk_max_seconds: PositiveFloat = 600.0
    """Longest chunk once it is decoded."""

    feed_ahead_seconds: Annotated[float, Field(ge=40)] = 60.0
    """Audio of a track that may be undecided at the recogniser; it must hold the longest utterance and the silence
    around it."""
    cursor_interval_seconds: PositiveFloat = 2.0
    """Longest time between two stored cursors of a track where no final stores one."""
    coverage_interval_seconds: PositiveFloat = 2.0
    """Time between two coverage updates to watchers."""
    watch_queue: Annotated[int, Field(ge=16)] = 256
    """Events that a watcher may be behind before it has to start over."""

    @property
    def session_limits(self) -> SessionLimits:
        """What one session may ask for."""
        return SessionLimits(tracks=self.max_tracks, window=self.window)

    @property
    def feed_options(self) -> FeedOptions:
        """What every feed shares."""
        return FeedOptions(ahead_samples=samples_of(self.feed_ahead_seconds))


class MeetingSettings(Section):
    """Meetings."""

    model_config = SettingsConfigDict(env_prefix="MEETING_")

    auto_join_on_start: bool = False
    """Whether the recorder joins when a realtime meeting is started and the request does not say."""
    connector_provider: str = "room"
    """Provider that the recorder joins through when the request names none."""
