"""Columns that most tables have, and the check that stands for an enum."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Text, func


def tenant_id() -> Column[str]:
    """Whose row it is; every query names it."""
    return Column("tenant_id", Text, nullable=False)


def meeting_id(*, primary_key: bool = False) -> Column[str]:
    """The meeting that the row belongs to and is erased with."""
    return Column(
        "meeting_id", Text, ForeignKey("meetings.id", ondelete="CASCADE"), primary_key=primary_key, nullable=False
    )


def time(name: str) -> Column[datetime]:
    """A moment that may not have come yet."""
    return Column(name, DateTime(timezone=True))


def create_time() -> Column[datetime]:
    """When the row was made, by the database's clock."""
    return Column("create_time", DateTime(timezone=True), nullable=False, server_default=func.now())


def one_of(column: str, *values: str) -> CheckConstraint:
    """Allow these values only; easier to widen in a migration than an enum type."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)
