"""The tables, one file per noun.

meetings ─┬─ participants
          ├─ audio_sessions ─┬─ tracks
          │                  └─ segments      (finals; settled with their track's cursor in one transaction)
          ├─ coverage
          ├─ quick_recordings
          ├─ connector_notices
          └─ reports, artifacts, deliveries   (one revision each time a report is built)

connector_sessions ── connector_transitions

connector_decisions, connector_operations, breakers, breaker_changes, security_audit_events, idempotency_keys stand
by themselves.
The job queue's tables are `kit.queue`'s.
"""

from store.metadata import metadata
from store.models.artifacts import artifacts
from store.models.audio_sessions import audio_sessions
from store.models.breakers import breaker_changes, breakers
from store.models.connector_decisions import connector_decisions
from store.models.connector_notices import connector_notices
from store.models.connector_operations import connector_operations
from store.models.connector_sessions import connector_sessions
from store.models.connector_transitions import connector_transitions
from store.models.coverage import coverage
from store.models.deliveries import deliveries
from store.models.idempotency_keys import idempotency_keys
from store.models.ingest_replicas import ingest_replicas
from store.models.meetings import meetings
from store.models.participants import participants
from store.models.quick_recordings import quick_recordings
from store.models.reports import reports
from store.models.security_audit_events import security_audit_events
from store.models.segments import segments
from store.models.tombstones import tombstones
from store.models.tracks import tracks

__all__ = [
    "artifacts",
    "audio_sessions",
    "breaker_changes",
    "breakers",
    "connector_decisions",
    "connector_notices",
    "connector_operations",
    "connector_sessions",
    "connector_transitions",
    "coverage",
    "deliveries",
    "idempotency_keys",
    "ingest_replicas",
    "meetings",
    "metadata",
    "participants",
    "quick_recordings",
    "reports",
    "security_audit_events",
    "segments",
    "tombstones",
    "tracks",
]
