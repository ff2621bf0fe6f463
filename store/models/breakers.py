"""Breakers: whether a provider is being called at all; they guard the whole mesh, so no tenant owns one."""

from sqlalchemy import Column, Integer, Table, Text

from store import columns
from store.metadata import metadata

breakers = Table(
    "breakers",
    metadata,
    Column("name", Text, primary_key=True, comment="for example connector.room"),
    Column("state", Text, nullable=False, server_default="closed"),
    Column("failures", Integer, nullable=False, server_default="0", comment="in a row"),
    columns.time("opened_time"),
    columns.time("retry_time"),
    columns.time("update_time"),
    columns.one_of("state", "closed", "open", "half_open"),
)
