"""What the connector shows of itself to Prometheus."""

from prometheus_client import Gauge

from services.connector.sessions.sessions import Sessions
from services.connector.spans import SAMPLE_RATE

SESSIONS = Gauge("agent_connector_sessions", "Sessions that are not over.")
PARTICIPANTS = Gauge("agent_connector_participants", "Participants in the calls of running sessions.")
OVERFLOWED = Gauge(
    "agent_connector_overflowed_seconds", "Seconds of audio that running sessions dropped because ingest was away."
)


def watch(sessions: Sessions) -> None:
    """Read the gauges off `sessions` whenever they are asked for."""
    SESSIONS.set_function(lambda: len(sessions.active))
    PARTICIPANTS.set_function(lambda: sum(len(session.participants) for session in sessions.active))
    OVERFLOWED.set_function(lambda: sum(session.overflowed_samples for session in sessions.active) / SAMPLE_RATE)
