"""Settings of the connector room: CONNECTOR_* and MEETING_CONNECTOR_*."""

from typing import Annotated

from pydantic import Field, PositiveFloat
from pydantic_settings import SettingsConfigDict

from kit.settings import Address, Section


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
    """Time for coming back into a room whose signalling was lost; media goes on meanwhile."""

    buffer_mib: Annotated[int, Field(ge=1, le=4096)] = 64
    """Memory per session for audio that is not on disk at ingest yet; 64 MiB are 35 minutes of one voice."""
    ack_seconds: PositiveFloat = 10.0
    """Silence of ingest, with audio under way, after which the stream is made anew."""
    finish_seconds: PositiveFloat = 30.0
    """Time for the last audio of a session to reach ingest's disk."""


class MeetingConnectorSettings(Section):
    """Which calls are joined."""

    model_config = SettingsConfigDict(env_prefix="MEETING_CONNECTOR_")

    provider: str = "room"
    """Provider of meetings that name none, for example `room` (the mesh's own rooms), `sberjazz`, `janus`, `whip`."""
