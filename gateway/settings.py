"""Settings of the gateway room: GATEWAY_*."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Self

from limits import RateLimitItem, parse_many
from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator
from pydantic_settings import SettingsConfigDict

from gateway.certificate import HttpCertificate
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
    grpc_client_certificates: bool = False
    """Whether callers of that port must show a certificate when GRPC_TLS_* are set, as callers of rooms must. Consoles
    and programs of integrators mostly have a key and no certificate."""
    tls_enabled: bool | None = None
    """Whether HTTP is served over TLS; unset: when GATEWAY_TLS_CERT_FILE is set. Leave it unset behind a proxy that
    does it."""
    tls_cert_file: Path | None = None
    """PEM file with the certificate that browsers see, and those between it and its authority; read again when it
    changes, while the gateway runs."""
    tls_key_file: Path | None = None
    """PEM file with the key of GATEWAY_TLS_CERT_FILE."""
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

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if self.tls_enabled is not False and bool(self.tls_cert_file) != bool(self.tls_key_file):
            missing, given = ("KEY", "CERT") if self.tls_cert_file else ("CERT", "KEY")
            raise ValueError(f"GATEWAY_TLS_{missing}_FILE: needed with GATEWAY_TLS_{given}_FILE; the two go together")
        if self.tls_enabled and not self.tls_cert_file:
            raise ValueError("GATEWAY_TLS_CERT_FILE: needed when GATEWAY_TLS_ENABLED=true, with GATEWAY_TLS_KEY_FILE")
        return self

    @property
    def certificate(self) -> HttpCertificate | None:
        """What HTTP is served over TLS with; None: plain."""
        if self.tls_enabled is False or self.tls_cert_file is None or self.tls_key_file is None:
            return None
        return HttpCertificate(self.tls_cert_file, self.tls_key_file)

    @property
    def rates(self) -> Sequence[RateLimitItem]:
        """What one credential may ask."""
        return parse_many(self.rate_limit) if self.rate_limit else ()
