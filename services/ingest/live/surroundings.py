"""Surroundings: what every live meeting of the room works with."""

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from services.ingest.intake.session import MeetingKey
from services.ingest.live.feed import Recognizer
from services.ingest.live.repository import LiveRepository
from services.ingest.recordings.sealing import Blobs
from services.ingest.replicas.replica import Replicas
from services.ingest.repository import IngestRepository
from services.ingest.settings import IngestSettings
from services.ingest.watching.follow import ReportFollower
from services.ingest.watching.hub import Hub


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The room, put together by `app.py`."""

    settings: IngestSettings
    repository: IngestRepository
    live_repository: LiveRepository
    replicas: Replicas
    hub: Hub
    recognizer: Recognizer
    follower: ReportFollower
    blobs: Blobs
    directory: Path
    """Where journals are: `<directory>/<tenant>/<meeting>/<session>.<epoch>.journal`."""
    scratch: Path
    executor: Executor

    def meeting_directory(self, key: MeetingKey) -> Path:
        """Return where the journals of a meeting are."""
        return self.directory / key.tenant_id / key.meeting_id
