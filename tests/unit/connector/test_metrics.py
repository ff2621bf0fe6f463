"""The metrics whose names are promised."""

from prometheus_client import REGISTRY, generate_latest

from services.connector import metrics

PROMISED = (
    "agent_sberjazz_connector_health",
    "agent_sberjazz_circuit_breaker_open",
    'agent_sberjazz_circuit_breaker_resets_total{reason="age",source="worker"}',
    'agent_sberjazz_sessions_total{state="connected"}',
    'agent_sberjazz_sessions_total{state="disconnected"}',
    'agent_sberjazz_live_pull_runs_total{result="ok",source="worker"}',
    "agent_sberjazz_live_pull_last_scanned",
    "agent_sberjazz_live_pull_last_connected",
    "agent_sberjazz_live_pull_last_pulled",
    "agent_sberjazz_live_pull_last_ingested",
    "agent_sberjazz_live_pull_last_failed",
    "agent_sberjazz_live_pull_last_invalid_chunks",
)


def test_every_promised_name_is_on_the_page() -> None:
    metrics.BREAKER_RESETS.labels("worker", "age")
    metrics.PULL_RUNS.labels("worker", "ok")
    for state in ("connected", "disconnected"):
        metrics.STATES.labels(state)
    names = {line.rpartition(" ")[0] for line in generate_latest(REGISTRY).decode().splitlines()}
    assert names.issuperset(PROMISED)
