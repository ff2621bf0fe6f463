"""What the connector shows of itself to Prometheus.

The names that begin with `agent_sberjazz_` are a promise from the time when there was one provider; they tell of the
providers `sberjazz` and `sberjazz_mock`, except those of live pull and of resets, which tell of every provider.
"""

from collections.abc import Sequence
from typing import Protocol

from prometheus_client import Counter, Gauge

from services.connector.sessions.record import Record, State
from services.connector.spans import SAMPLE_RATE

SESSIONS = Gauge("agent_connector_sessions", "Sessions that are not over.")
PARTICIPANTS = Gauge("agent_connector_participants", "Participants in the calls of running sessions.")
OVERFLOWED = Gauge(
    "agent_connector_overflowed_seconds", "Seconds of audio that running sessions dropped because ingest was away."
)
REJOINS = Counter("agent_connector_rejoins", "Stale sessions that this replica took up.", ("result",))
NOTICES = Counter("agent_connector_notices", "Participants who were told of the recording.", ("channel",))
WITHDRAWALS = Counter("agent_connector_withdrawals", "Participants who withdrew from the recording.")

HEALTH = Gauge(
    "agent_sberjazz_connector_health", "Whether the provider answered when it was last asked (1) or not (0)."
)
BREAKER_OPEN = Gauge("agent_sberjazz_circuit_breaker_open", "Whether the provider's circuit breaker is open (1).")
BREAKER_RESETS = Counter(
    "agent_sberjazz_circuit_breaker_resets", "Breakers closed by hand or because of their age.", ("source", "reason")
)
STATES = Gauge("agent_sberjazz_sessions_total", "Running sessions by whether they are in their call.", ("state",))
PULL_RUNS = Counter("agent_sberjazz_live_pull_runs", "Runs of live pull.", ("source", "result"))
PULL_SCANNED = Gauge("agent_sberjazz_live_pull_last_scanned", "Sessions that the last run looked at.")
PULL_CONNECTED = Gauge("agent_sberjazz_live_pull_last_connected", "Sessions of the last run that are in their call.")
PULL_PULLED = Gauge("agent_sberjazz_live_pull_last_pulled", "Chunks that the last run fetched.")
PULL_INGESTED = Gauge("agent_sberjazz_live_pull_last_ingested", "Chunks that the last run stored.")
PULL_FAILED = Gauge("agent_sberjazz_live_pull_last_failed", "Sessions that failed in the last run.")
PULL_INVALID = Gauge("agent_sberjazz_live_pull_last_invalid_chunks", "Chunks of the last run that could not be read.")

_CONNECTED = (State.LIVE, State.DEGRADED)


class Running(Protocol):
    """A session that is not over."""

    @property
    def record(self) -> Record: ...

    @property
    def participants(self) -> Sequence[object]: ...

    @property
    def overflowed_samples(self) -> int: ...


class Register(Protocol):
    """The sessions of this replica."""

    @property
    def active(self) -> Sequence[Running]: ...


def watch(sessions: Register) -> None:
    """Read the gauges off `sessions` whenever they are asked for."""

    def states(connected: bool) -> int:
        ours = [one for one in sessions.active if of_sberjazz(one.record.provider)]
        return sum((one.record.state in _CONNECTED) is connected for one in ours)

    SESSIONS.set_function(lambda: len(sessions.active))
    PARTICIPANTS.set_function(lambda: sum(len(session.participants) for session in sessions.active))
    OVERFLOWED.set_function(lambda: sum(session.overflowed_samples for session in sessions.active) / SAMPLE_RATE)
    STATES.labels("connected").set_function(lambda: states(True))
    STATES.labels("disconnected").set_function(lambda: states(False))


def of_sberjazz(provider: str) -> bool:
    """Return whether the promised metrics tell of a provider."""
    return provider in ("sberjazz", "sberjazz_mock")


def healthy(provider: str, answers: bool) -> None:
    """Note whether a provider answered."""
    if of_sberjazz(provider):
        HEALTH.set(answers)
