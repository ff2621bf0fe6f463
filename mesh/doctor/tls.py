"""TLS between rooms: the certificate of this machine, and how long it is still good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from kit.rpc.certificates import read_material
from kit.settings import SettingsError, TlsSettings
from mesh.doctor.finding import Finding

_SOON = timedelta(days=14)


def tls_findings(settings: TlsSettings) -> Iterator[Finding]:
    """The files that GRPC_TLS_* name; nothing when TLS is off."""
    if not settings.on:
        return
    try:
        material = read_material(settings)
    except SettingsError as error:
        yield Finding("tls", "missing", "; ".join(error.problems))
        return
    if material.expires is None:
        yield Finding("tls", "note", "no certificate of its own: enough for a console, a room needs GRPC_TLS_CERT_FILE")
        return
    left = material.expires - datetime.now(UTC)
    detail = f"certificate of {', '.join(material.names[:4]) or 'nobody'}, good until {material.expires:%Y-%m-%d}"
    if left <= timedelta(0):
        yield Finding("tls", "missing", f"{detail}: it has ended; put a new one in its place")
    else:
        yield Finding("tls", "ok" if left > _SOON else "note", detail)
