"""Settings of the report room: REPORT_*."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, PositiveFloat, field_validator
from pydantic_settings import SettingsConfigDict

from kit.settings import Address, Section


class ReportSettings(Section):
    """Reports."""

    model_config = SettingsConfigDict(env_prefix="REPORT_")

    listen: Address = "127.0.0.1:8024"
    """gRPC address of the room."""
    metrics_listen: Address = "127.0.0.1:9024"
    """Address of the Prometheus page."""
    time_zone: str = "UTC"
    """Time zone in which meetings are held, for example `Europe/Moscow`: "tomorrow" is counted from its day."""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Reports built at a time."""
    talk_interval_seconds: PositiveFloat = 1.0
    """Least time between two live updates of who spoke how much."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is not a time zone of the tz database") from error
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)
