"""Settings of the connector room: CONNECTOR_*, MEETING_CONNECTOR_*, RECONCILIATION_*, and SBERJAZZ_* of every provider.

What belongs to one provider stands in that provider's own file.
"""

from typing import Annotated

from pydantic import Field, PositiveFloat
from pydantic_settings import SettingsConfigDict

from kit.settings import Address, Section
from kit.settings.ice import IceServers


class ConnectorSettings(Section):
    """The recorder in calls."""

    model_config = SettingsConfigDict(env_prefix="CONNECTOR_")

    listen: Address = "127.0.0.1:8023"
    """gRPC address of the room."""
    metrics_listen: Address = "127.0.0.1:9023"
    """Address of the Prometheus page."""

    recorder_name: Annotated[str, Field(min_length=1, max_length=64)] = "Interview recorder"
    """Name under which everybody in a call sees the recorder."""
    notice: Annotated[str, Field(max_length=500)] = (
        "This call is being recorded and transcribed. Withdraw at any time: your voice is not recorded from then on."
    )
    """What the recorder posts in the chat of a call that has one; empty posts nothing."""
    empty_room_seconds: PositiveFloat = 10.0
    """Time after the last person left until the session ends."""
    first_person_seconds: PositiveFloat = 900.0
    """Time that the recorder waits in a room to which nobody comes."""
    rejoin_seconds: PositiveFloat = 120.0
    """Time for coming back into a call that was lost; where a room's signalling was lost, media goes on meanwhile."""
    give_up_seconds: PositiveFloat = 900.0
    """Time without any connector after which a session is given up instead of joined again."""

    buffer_mib: Annotated[int, Field(ge=1, le=4096)] = 64
    """Memory per session for audio that is not on disk at ingest yet; 64 MiB are 35 minutes of one voice."""
    ack_seconds: PositiveFloat = 10.0
    """Silence of ingest, with audio under way, after which the stream is made anew."""
    finish_seconds: PositiveFloat = 30.0
    """Time for the last audio of a session to reach ingest's disk."""

    ice_servers: IceServers = Field(default_factory=list)
    """STUN and TURN servers of the recorder, as JSON like GATEWAY_ICE_SERVERS; a room's own are used besides."""
    relay_only: bool = False
    """Whether media takes no path but through the TURN server."""


class MeetingConnectorSettings(Section):
    """Which calls are joined."""

    model_config = SettingsConfigDict(env_prefix="MEETING_CONNECTOR_")

    provider: str = "room"
    """Provider of meetings that name none, for example `room` (the mesh's own rooms), `sberjazz`, `janus`, `whip`."""


class SessionLifeSettings(Section):
    """Sessions over replicas and restarts. The names are those of the first provider; they hold for every one."""

    model_config = SettingsConfigDict(env_prefix="SBERJAZZ_")

    op_lock_ttl_sec: Annotated[float, Field(ge=5, le=3600)] = 60.0
    """Time after which a join, leave or reconnect that never ended no longer keeps others from its meeting."""
    join_idempotent_ttl_sec: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """Time since a session's provider was last heard of within which a repeated join does not ask the provider."""
    reconcile_stale_sec: Annotated[float, Field(ge=5, le=3600)] = 10.0
    """Time without a sign of life of its connector after which a session is stale and another replica takes it up."""
    cb_auto_reset_enabled: bool = True
    """Whether circuit breakers are closed because of their age."""
    cb_auto_reset_min_age_sec: PositiveFloat = 300.0
    """Age, in seconds, at which a breaker that lets nothing through is closed."""

    live_pull_enabled: bool = True
    """Whether chunks are fetched from calls that keep their audio, by the reconciliation worker."""
    live_pull_batch_limit: Annotated[int, Field(ge=1, le=1000)] = 50
    """Chunks of one session that one run fetches."""
    live_pull_sessions_limit: Annotated[int, Field(ge=1, le=1000)] = 50
    """Sessions of one run; the others are first in the next."""
    live_pull_retries: Annotated[int, Field(ge=0, le=10)] = 2
    """Tries after the first where a provider is away; what it refuses is never repeated."""
    live_pull_retry_backoff_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    """Pause before the first of these tries, in milliseconds; each next one is twice as long, up to 10 s."""
    live_pull_fail_reconnect_threshold: Annotated[int, Field(ge=0, le=1000)] = 3
    """Failed runs in a row after which a session leaves its call and joins it again; 0 never does."""


class ReconciliationSettings(Section):
    """The worker that takes up sessions whose connector is gone."""

    model_config = SettingsConfigDict(env_prefix="RECONCILIATION_")

    enabled: bool = True
    """Whether it works by itself; if not, Reconcile and LivePull do one run each."""
    interval_sec: Annotated[float, Field(ge=0.2, le=3600)] = 3.0
    """Time between two runs, of stale sessions and of live pull."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    """Stale sessions of one run."""
