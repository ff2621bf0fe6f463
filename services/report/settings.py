"""Settings of the report room: REPORT_*."""

import base64
import binascii
from typing import Annotated, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, PositiveFloat, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from kit.settings import Address, Section
from services.report.webhook import WebhookOptions

_SECRET_BYTES = range(24, 65)


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
    """Steps after meetings done at a time."""
    talk_interval_seconds: PositiveFloat = 1.0
    """Least time between two live updates of who spoke how much."""

    public_url: str = "http://127.0.0.1:8010"
    """Where people reach the gateway: links in what is sent begin with it."""
    webhook_url: SecretStr | None = None
    """Address that is told of every report, http or https; unset: nobody is told. The room calls whatever stands here,
    so only an operator may choose it."""
    webhook_secret: SecretStr | None = None
    """Secret that signs what is sent: `whsec_` and the base64 of 24 to 64 random bytes, as standardwebhooks.com has
    it."""
    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Time for the receiver to answer."""
    webhook_include_report: bool = False
    """Whether the whole report with its quotations is sent; if not, the meeting's id, a link and numbers."""

    @field_validator("webhook_url")
    @classmethod
    def _web_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                parts = urlsplit(value.get_secret_value())
                known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
            except ValueError:
                known = False
            if not known:
                raise ValueError("is not an http or https address")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _signing_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            encoded = value.get_secret_value().removeprefix("whsec_")
            try:
                length = len(base64.b64decode(encoded, validate=True))
            except binascii.Error:
                length = 0
            if length not in _SECRET_BYTES:
                raise ValueError("is not `whsec_` and the base64 of 24 to 64 bytes")
        return value

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError("REPORT_WEBHOOK_SECRET: REPORT_WEBHOOK_URL needs a secret to sign with")
        return self

    @property
    def webhook(self) -> WebhookOptions | None:
        """The webhook channel; None if there is none."""
        if self.webhook_url is None or self.webhook_secret is None:
            return None
        return WebhookOptions(
            url=self.webhook_url.get_secret_value(),
            secret=self.webhook_secret.get_secret_value(),
            timeout_seconds=self.webhook_timeout_seconds,
            include_report=self.webhook_include_report,
            public_url=self.public_url,
        )

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
