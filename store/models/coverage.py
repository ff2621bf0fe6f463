"""Coverage: what became of each stretch of a participant's time; the intervals touch and never overlap."""

from sqlalchemy import CheckConstraint, Column, Integer, Table, Text

from store import columns
from store.metadata import metadata

coverage = Table(
    "coverage",
    metadata,
    columns.meeting_id(primary_key=True),
    Column("participant_id", Text, primary_key=True),
    Column("start_ms", Integer, primary_key=True, autoincrement=False),
    Column("end_ms", Integer, nullable=False),
    columns.tenant_id(),
    Column("kind", Text, nullable=False),
    columns.one_of("kind", "transcribed", "silent", "muted", "concealed", "lost", "pending", "withdrawn", "absent"),
    CheckConstraint("end_ms > start_ms", name="order"),
)
