"""Settings of the audit trail: SECURITY_AUDIT_*."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kit.settings import Section


class AuditSettings(Section):
    """The trail of decisions about access."""

    model_config = SettingsConfigDict(env_prefix="SECURITY_AUDIT_")

    db_enabled: bool = True
    """Whether decisions are kept in the table security_audit_events; the log has them either way."""
    allow: Literal["admin", "all"] = "admin"
    """Which allowed calls are kept: those that ask for an administrator's scope or may change something, or reads of
    everybody too. What was denied is always kept."""
    queue: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """Decisions that wait for the database at most; more are counted, told in the log and left out of the table."""
    retention_days: Annotated[int, Field(ge=0, le=36_500)] = 365
    """Days for which decisions are kept; 0 keeps them for ever."""

    @property
    def retention(self) -> timedelta | None:
        """How long decisions are kept, None for ever."""
        return timedelta(days=self.retention_days) if self.retention_days else None
