"""What rooms tell their operators, as rows of the administrator's answers."""

from agent.console.v1 import admin_service_pb2 as pb
from agent.ops.v1 import ops_service_pb2 as ops

_JOB_FIELDS = tuple(field.name for field in pb.Job.DESCRIPTOR.fields)
"""Both messages have the same fields."""


def queue_row(room: str, queue: ops.QueueStatus) -> pb.QueueHealth:
    """Return the row of a queue."""
    return pb.QueueHealth(
        room=room,
        queue=queue.queue,
        depth=queue.depth,
        pending=queue.pending,
        dead=queue.dead,
        oldest_age_seconds=queue.oldest_age_seconds,
        error=queue.error,
    )


def storage_row(room: str, probe: ops.GetStorageHealthResponse) -> pb.StorageHealth:
    """Return the row of a room's probe."""
    return pb.StorageHealth(
        room=room, mode=probe.mode, path=probe.path, ok=probe.ok, error=probe.error, latency_ms=probe.latency_ms
    )


def job_row(job: ops.Job) -> pb.Job:
    """Return the row of a job."""
    return pb.Job(**{name: getattr(job, name) for name in _JOB_FIELDS})


def audit_row(event: ops.AuditEvent) -> pb.AuditEvent:
    """Return the row of a decision."""
    return pb.AuditEvent(
        sequence=event.sequence,
        time=event.time,
        outcome=event.outcome,
        endpoint=event.endpoint,
        method=event.method,
        subject=event.subject,
        auth_type=event.auth_type,
        reason=event.reason,
        tenant_id=event.tenant_id,
        prev_hash=event.prev_hash,
        hash=event.hash,
    )
