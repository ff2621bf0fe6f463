"""Settings of the gateway room: GATEWAY_*."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from limits import RateLimitItem, parse_many
from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from kit.settings import Address, CommaList, Section
from kit.settings.ice import IceServers


def _rates(value: str) -> str:
    if value:
        parse_many(value)  # says what is wrong
    return value


RateLimits = Annotated[str, AfterValidator(_rates)]
"""Rates as `limits` writes them."""


class GatewaySettings(Section):
    """The gateway."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")
    older_names: ClassVar[Mapping[str, tuple[str, ...]]] = {"allowed_origins": ("CORS_ORIGINS",)}

    listen: Address = "127.0.0.1:8010"
    """Address of HTTP: REST, WebSockets, pages, `/health` and `/metrics`."""
    grpc_listen: Address = "127.0.0.1:8011"
    """gRPC address of the room, for the console."""
    ice_servers: IceServers = Field(default_factory=list)
    """STUN and TURN servers for calls, as JSON: `[{"urls": "stun:stun.example.org:3478"}]`; empty: none."""
    allowed_origins: CommaList = ()
    """Origins of other pages that may call the API and open WebSockets, between commas: `https://app.example.org`.
    Other name: CORS_ORIGINS."""
    request_timeout_seconds: PositiveFloat = 30.0
    """Longest time for one REST call; a client may ask for less with `Grpc-Timeout`."""
    max_body_bytes: PositiveInt = 12 * 1024 * 1024
    """Largest HTTP body; a chunk of 8 MiB in base64 fits."""
    transcription_max_bytes: PositiveInt = 25 * 1024 * 1024
    """Largest upload to /v1/audio/transcriptions."""
    transcription_timeout_seconds: PositiveFloat = 1800.0
    """Longest time for one transcription there."""
    rate_limit: RateLimits = ""
    """What one credential may ask of one replica, `600/minute` or `20/second;5000/hour`; an address may ask ten times
    as much, whatever its credentials. Empty: as much as it likes."""
    room_members: Annotated[int, Field(ge=2, le=64)] = 16
    """Members of a call at a time, recorders among them."""

    @property
    def rates(self) -> Sequence[RateLimitItem]:
        """What one credential may ask."""
        return parse_many(self.rate_limit) if self.rate_limit else ()
