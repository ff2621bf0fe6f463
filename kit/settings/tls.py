"""Settings of TLS between rooms: GRPC_TLS_*."""

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator
from pydantic_settings import SettingsConfigDict

from kit.settings.section import Section

HOW_TO_MAKE_SOME = "`agent certificates DIR` makes some"


class TlsSettings(Section):
    """TLS between rooms, and on the way from programs that speak gRPC."""

    model_config = SettingsConfigDict(env_prefix="GRPC_TLS_")

    enabled: bool | None = None
    """Whether gRPC runs over TLS; unset: when GRPC_TLS_CERT_FILE or GRPC_TLS_CA_FILE is set. `true` alone lets a
    console trust the public authorities; `false` keeps everything plain whatever is named below."""
    cert_file: Path | None = None
    """PEM file with the certificate of this room, and those between it and the authority; what it shows to callers and
    to whom it calls. Read again when it changes, while the room runs."""
    key_file: Path | None = None
    """PEM file with the key of the certificate."""
    ca_file: Path | None = None
    """PEM file with the authorities whose certificates are believed, on both sides; several while one replaces
    another. Unset: the public ones, for programs that only call."""
    client_auth: Literal["require", "off"] = "require"
    """Whether callers of a room must show a certificate of GRPC_TLS_CA_FILE. The gateway's port asks for none unless
    GATEWAY_GRPC_CLIENT_CERTIFICATES."""
    server_name: str = ""
    """Name that the certificate of whoever is called must bear, in place of the host of its address; for replicas
    given as addresses. Certificates of `agent certificates` all bear `agent-mesh`."""
    require_in_prod: bool = False
    """Whether plain gRPC keeps a room from being ready when APP_ENV=prod."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.on:
            return self
        if bool(self.cert_file) != bool(self.key_file):
            missing, given = ("KEY", "CERT") if self.cert_file else ("CERT", "KEY")
            raise ValueError(f"GRPC_TLS_{missing}_FILE: needed with GRPC_TLS_{given}_FILE; the two go together")
        if self.cert_file and not self.ca_file and self.client_auth == "require":
            raise ValueError(
                "GRPC_TLS_CA_FILE: needed with GRPC_TLS_CERT_FILE, so that rooms can check each other's certificates; "
                "or set GRPC_TLS_CLIENT_AUTH=off"
            )
        return self

    @classmethod
    def naming(
        cls,
        *,
        cert_file: Path | None = None,
        key_file: Path | None = None,
        ca_file: Path | None,
        server_name: str = "",
        enabled: bool | None = None,
    ) -> "TlsSettings":
        """Return TLS with these files, whatever the environment says.

        Args:
            enabled: whether TLS is on; when a file is given if None.
        """
        return cls.model_construct(
            enabled=bool(cert_file or ca_file) if enabled is None else enabled,
            cert_file=cert_file,
            key_file=key_file,
            ca_file=ca_file,
            client_auth="require",
            server_name=server_name,
            require_in_prod=False,
        )

    @property
    def on(self) -> bool:
        """Whether gRPC runs over TLS."""
        return bool(self.cert_file or self.ca_file) if self.enabled is None else self.enabled

    @property
    def files(self) -> dict[str, Path]:
        """The files that are named, by variable."""
        named = {
            "GRPC_TLS_CERT_FILE": self.cert_file,
            "GRPC_TLS_KEY_FILE": self.key_file,
            "GRPC_TLS_CA_FILE": self.ca_file,
        }
        return {variable: path for variable, path in named.items() if path is not None}

    def environment(self) -> dict[str, str]:
        """Return the variables that give these files to another process."""
        return {variable: str(path) for variable, path in self.files.items()}

    def refusal(self, *, is_prod: bool) -> str:
        """Return why these settings must not serve in production; empty if they may."""
        if is_prod and self.require_in_prod and not self.on:
            return "GRPC_TLS_CERT_FILE: needed when APP_ENV=prod and GRPC_TLS_REQUIRE_IN_PROD=true; " + HOW_TO_MAKE_SOME
        return ""
