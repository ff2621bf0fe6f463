"""Whether the gateway of this mesh serves HTTPS, and how the supervisor knows it again."""

from __future__ import annotations

import ssl
from pathlib import Path

from pydantic_settings import SettingsConfigDict

from kit.settings import Section


class HttpsSettings(Section):
    """The gateway's certificate, as far as whoever starts it needs to know."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_TLS_")

    enabled: bool | None = None
    """Whether it serves HTTPS; unset: when it has a certificate."""
    cert_file: Path | None = None
    """Its certificate."""

    @property
    def on(self) -> bool:
        """Whether the gateway serves HTTPS."""
        return self.cert_file is not None and self.enabled is not False

    @property
    def scheme(self) -> str:
        """Scheme of the gateway's address."""
        return "https" if self.on else "http"

    def trust(self) -> ssl.SSLContext | bool:
        """Return what accepts this very certificate at the loopback address, whoever signed it, whatever it names."""
        if not self.on or self.cert_file is None:
            return True
        context = ssl.create_default_context(cafile=str(self.cert_file))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.check_hostname = False
        return context
