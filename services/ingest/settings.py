"""Settings of the ingest room: INGEST_*, MEETING_*, QUICK_RECORDING_* and RETENTION_*."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import NoDecode, SettingsConfigDict

from kit.settings import Address, Section, StorageSettings
from services.ingest.intake.session import SessionLimits
from services.ingest.live.feed import FeedOptions
from services.ingest.timeline import samples_of


def _object(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise ValueError('is not JSON such as {"acme": {"audio_days": 7}}') from None


class IngestSettings(Section):
    """Durable audio."""

    model_config = SettingsConfigDict(env_prefix="INGEST_")

    listen: Address = "127.0.0.1:8021"
    """gRPC address of the room."""
    metrics_listen: Address = "127.0.0.1:9021"
    """Address of the Prometheus page."""
    advertise: Address | None = None
    """Address at which other replicas reach this one; unset: INGEST_LISTEN, with this machine's name if that is every
    interface."""

    journal_path: Path | None = None
    """Directory of the journals; unset: `journals` in STORAGE_PATH if they are shared, else in AGENT_DATA_DIR."""
    journals_shared: bool | None = None
    """Whether every replica sees the same directory of journals, so that another may go on with a dead one's meetings;
    unset: if STORAGE_MODE is shared_fs. On NFS, mount it with `lookupcache=none`."""
    lease_seconds: Annotated[float, Field(ge=1, le=300)] = 10.0
    """Time without a sign of life after which a replica's meetings may be taken up by another."""
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

    def shares_journals(self, storage: StorageSettings) -> bool:
        """Return whether every replica sees the same journals."""
        return storage.storage_mode == "shared_fs" if self.journals_shared is None else self.journals_shared

    def journal_directory(self, storage: StorageSettings, data_directory: Path) -> Path:
        """Return where the journals are."""
        if self.journal_path is not None:
            return self.journal_path
        shared = self.shares_journals(storage) and storage.storage_mode != "s3" and storage.storage_path
        return (Path(storage.storage_path) if shared and storage.storage_path else data_directory) / "journals"

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


class QuickRecordingSettings(Section):
    """Quick recordings."""

    model_config = SettingsConfigDict(env_prefix="QUICK_RECORDING_")

    most_at_once: PositiveInt = 3
    """Quick recordings of one tenant that may be under way at the same time."""
    longest_seconds: PositiveInt = 14_400
    """Time after which a quick recording stops whatever was asked."""
    segment_seconds: PositiveInt = 30
    """Length of the pieces in which the progress of a quick recording is told."""


class TenantRetention(BaseModel):
    """How long one tenant's meetings are kept; what it does not say is as for everybody."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audio_days: NonNegativeInt | None = None
    text_days: NonNegativeInt | None = None


class RetentionSettings(Section):
    """How long meetings are kept. Days count from the end of a meeting; 0 keeps for ever."""

    model_config = SettingsConfigDict(env_prefix="RETENTION_")

    audio_days: NonNegativeInt = 0
    """Days after which recordings are erased; text, reports and coverage stay."""
    text_days: NonNegativeInt = 0
    """Days after which whole meetings are erased: recordings, text, reports, names; a tombstone stays."""
    tenants: Annotated[dict[str, TenantRetention], NoDecode, BeforeValidator(_object)] = Field(default_factory=dict)
    """Other times for some tenants, as JSON: `{"acme": {"audio_days": 7, "text_days": 90}}`."""

    @property
    def tenant_audio_days(self) -> dict[str, int]:
        """Days by tenant, for those with days of their own."""
        return {name: own.audio_days for name, own in self.tenants.items() if own.audio_days is not None}

    @property
    def tenant_text_days(self) -> dict[str, int]:
        """Days by tenant, for those with days of their own."""
        return {name: own.text_days for name, own in self.tenants.items() if own.text_days is not None}
