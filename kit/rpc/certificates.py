"""Certificates of this process: read from their files, and read again when those have changed."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from kit.clock import monotonic
from kit.ops.sources import Check
from kit.settings.problems import SettingsError
from kit.settings.tls import HOW_TO_MAKE_SOME, TlsSettings
from kit.telemetry import logs

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_LOOK_SECONDS = 1.0
"""Least time between two looks at the files."""

EXPIRES = Gauge(
    "agent_tls_certificate_expires_timestamp_seconds", "When the certificate of this process ends, as Unix time."
)

log = logs.get()

_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Material:
    """What TLS is made with, as PEM; None where nothing was given.

    `names` are the names and addresses that the certificate bears, `expires` is when it ends.
    """

    certificate: bytes | None = None
    key: bytes | None = None
    authorities: bytes | None = None
    names: tuple[str, ...] = ()
    expires: datetime | None = None


def read_material(settings: TlsSettings) -> Material:
    """Read the files that the settings name.

    Raises:
        SettingsError: one cannot be read, is not what it should be, or certificate and key do not go together.
    """
    # Only programs with TLS pay for this import.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    contents: dict[str, bytes] = {}
    for variable, path in settings.files.items():
        try:
            contents[variable] = path.read_bytes()
        except OSError as error:
            advice = f"; {HOW_TO_MAKE_SOME}" if isinstance(error, FileNotFoundError) else ""
            raise SettingsError([f"{variable}: cannot read {path} ({error.strerror}){advice}"]) from error
    authorities = contents.get("GRPC_TLS_CA_FILE")
    if authorities is not None:
        _certificates("GRPC_TLS_CA_FILE", authorities)
    certificate, secret = contents.get("GRPC_TLS_CERT_FILE"), contents.get("GRPC_TLS_KEY_FILE")
    if certificate is None or secret is None:
        return Material(authorities=authorities)
    own = _certificates("GRPC_TLS_CERT_FILE", certificate)[0]
    try:
        key = load_pem_private_key(secret, None)
    except (ValueError, TypeError) as error:
        raise SettingsError(["GRPC_TLS_KEY_FILE: is not a key in PEM without a password"]) from error
    if own.public_key() != key.public_key():
        raise SettingsError(["GRPC_TLS_KEY_FILE: is not the key of the certificate in GRPC_TLS_CERT_FILE"])
    names: tuple[str, ...] = ()
    try:
        borne = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = [str(address) for address in borne.get_values_for_type(x509.IPAddress)]
        names = (*borne.get_values_for_type(x509.DNSName), *addresses)
    except x509.ExtensionNotFound:
        pass  # good enough to call with
    return Material(certificate, secret, authorities, names, own.not_valid_after_utc)


class CertificateFiles:
    """The files of one process; `current` is what stands in them, or stood there when they were last in order.

    Threads may share it: gRPC asks at each new connection, in a thread of its own.

    Raises:
        SettingsError: at the start the files are not in order, see `read_material`.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings
        self._stamp = _stamp(settings.files.values())
        self._material = read_material(settings)
        self._refused: _Stamp = ()
        self._looked = monotonic()
        self._lock = threading.Lock()
        _show(self._material)

    def current(self) -> Material:
        """Return what stands in the files; the same object while they have not changed."""
        with self._lock:
            if monotonic() - self._looked >= _LOOK_SECONDS:
                self._looked = monotonic()
                self._look()
            return self._material

    def _look(self) -> None:
        stamp = _stamp(self.settings.files.values())
        if stamp in (self._stamp, self._refused):
            return
        try:
            self._material = read_material(self.settings)
        except SettingsError as error:
            # Half of a pair is there, or nothing: whoever renews may not be done yet.
            self._refused = stamp
            log.warning("tls_files_unusable", reason=str(error))
            return
        self._stamp, self._refused = stamp, ()
        _show(self._material)
        log.info("tls_files_renewed", expires=_date(self._material.expires))

    def checks(self) -> list[Check]:
        """Return the readiness check of the certificate."""
        expires = self.current().expires
        ok = expires is None or expires > datetime.now(UTC)
        message = f"GRPC_TLS_CERT_FILE: the certificate ended on {_date(expires)}; put a new one in its place"
        return [Check("tls_certificate", ok, "" if ok else message)]


def own_name(names: Sequence[str]) -> str:
    """Return a name under which a process may call itself, whatever the address it listens on; empty if there is none.

    Args:
        names: what its certificate bears; the star of a wildcard stands for any label.
    """
    return next(iter(names), "").replace("*", "self")


def _certificates(variable: str, pem: bytes) -> "list[Certificate]":
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise SettingsError([f"{variable}: holds no certificate in PEM"]) from error


def _stamp(paths: Iterable[Path]) -> _Stamp:
    found = []
    for path in paths:
        try:
            stat = path.stat()  # through links: volumes of secrets are renewed by turning a link
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _show(material: Material) -> None:
    if material.expires is not None:
        EXPIRES.set(material.expires.timestamp())


def _date(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment else "never"
