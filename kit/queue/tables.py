"""The queue's tables."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sequence", BigInteger, Identity(always=True), nullable=False, comment="the order of enqueueing"),
    Column("queue", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="chooses the handler"),
    Column("tenant_id", Text, nullable=False),
    Column("key", Text, comment="jobs of one key run one after another"),
    Column("dedupe", Text, comment="one unfinished job at most has this value in its queue"),
    Column("payload", JSONB, nullable=False, server_default="{}"),
    Column("state", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("run_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("attempts", Integer, nullable=False, server_default="0", comment="counted when claimed; fences the worker"),
    Column("max_attempts", Integer, nullable=False),
    Column("lease_until", DateTime(timezone=True)),
    Column("worker", Text),
    Column("last_error", Text, nullable=False, server_default="", comment="without speech, names or secrets"),
    Column("trace_id", Text, nullable=False, server_default=""),
    Column("create_time", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finish_time", DateTime(timezone=True)),
    CheckConstraint("state IN ('ready', 'waiting', 'running', 'done', 'dead')", name="ck_jobs_state"),
    CheckConstraint("(state = 'running') = (lease_until IS NOT NULL AND worker IS NOT NULL)", name="ck_jobs_lease"),
)

Index(
    "ix_jobs_claim",
    jobs.c.queue,
    jobs.c.priority.desc(),
    jobs.c.run_at,
    jobs.c.sequence,
    postgresql_where=jobs.c.state == "ready",
)
Index("ix_jobs_lease", jobs.c.queue, jobs.c.lease_until, postgresql_where=jobs.c.state == "running")
Index("ix_jobs_unfinished", jobs.c.queue, jobs.c.state, postgresql_where=jobs.c.state != "done")
Index("ix_jobs_done", jobs.c.queue, jobs.c.finish_time, postgresql_where=jobs.c.state == "done")
Index("ix_jobs_page", jobs.c.queue, jobs.c.sequence.desc())
# The head of a key: what is ready or running. The others wait, so claiming costs the same behind any backlog.
Index("uq_jobs_head", jobs.c.queue, jobs.c.key, unique=True, postgresql_where=jobs.c.state.in_(["ready", "running"]))
Index("ix_jobs_waiting", jobs.c.queue, jobs.c.key, jobs.c.sequence, postgresql_where=jobs.c.state == "waiting")
Index(
    "uq_jobs_dedupe",
    jobs.c.queue,
    jobs.c.dedupe,
    unique=True,
    postgresql_where=jobs.c.state.in_(["ready", "waiting", "running"]),
)

cron_slots = Table(
    "cron_slots",
    metadata,
    Column("name", Text, primary_key=True),
    Column("slot_time", DateTime(timezone=True), primary_key=True),
    # The row outlives the job: it is what makes the slot taken.
    Column("create_time", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
