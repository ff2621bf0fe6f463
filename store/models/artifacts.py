"""Artifacts: files of a meeting in the blob store."""

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from store import columns
from store.metadata import metadata

artifacts = Table(
    "artifacts",
    metadata,
    columns.meeting_id(primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("format", Text, primary_key=True),
    columns.tenant_id(),
    Column("content_type", Text, nullable=False),
    Column("blob_key", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    columns.create_time(),
    columns.one_of("kind", "raw", "clean", "report"),
    columns.one_of("format", "txt", "json", "md", "srt", "vtt"),
)
