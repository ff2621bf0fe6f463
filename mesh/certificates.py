"""`agent certificates`: an authority for this mesh, and a certificate for each room and for the commands."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kit.lifecycle import StartError
from kit.settings import TlsSettings
from mesh.rooms import ROOMS

COMMANDS = "agent"
"""Whose certificate the `agent` commands use, which are no room."""

MESH_NAME = "agent-mesh"
"""A name that every certificate bears, for GRPC_TLS_SERVER_NAME."""

_AUTHORITY = "ca.crt"
_AUTHORITY_KEY = "ca.key"
_AUTHORITY_DAYS = 3650
_CLOCKS_DIFFER = timedelta(minutes=10)
_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class _Pair:
    key: EllipticCurvePrivateKey
    certificate: x509.Certificate


def run_certificates(directory: Path, hosts: Sequence[str], days: int) -> int:
    """Make what is missing in `directory`, and every certificate but the authority's anew.

    Args:
        directory: takes `ca.crt` and `ca.key`, and a directory with `tls.crt`, `tls.key` and `ca.crt` for each room
            and for `agent`: names and shape of a Kubernetes secret, and all that a container must see.
        hosts: names and addresses that every room's certificate bears besides its own name and this machine's.
        days: for which the certificates are good; the authority is for ten years.

    Returns:
        The exit status.
    """
    try:
        made = make_certificates(directory, hosts, days)
    except (StartError, OSError) as error:
        sys.stderr.write(f"agent: {error}\n")
        return 1
    sys.stdout.write(
        f"{'made' if made else 'renewed'} in {directory}, good for {days} days\n"
        f"on this machine:      agent up --certificates {directory}\n"
        "elsewhere, per room:  GRPC_TLS_CERT_FILE=ROOM/tls.crt GRPC_TLS_KEY_FILE=ROOM/tls.key "
        "GRPC_TLS_CA_FILE=ROOM/ca.crt\n"
        f"keep {_AUTHORITY_KEY} away from the rooms: it makes certificates, and only this command needs it\n"
    )
    return 0


def make_certificates(directory: Path, hosts: Sequence[str], days: int) -> bool:
    """Make the certificates; return whether the authority is new.

    Rooms that run read the new files by themselves.

    Raises:
        StartError: there is an authority without its key, or an authority's key without certificate.
        OSError: the directory cannot be written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate, key = directory / _AUTHORITY, directory / _AUTHORITY_KEY
    if certificate.exists() != key.exists():
        there, away = (certificate, key) if certificate.exists() else (key, certificate)
        raise StartError(f"{there} is there and {away.name} is not; put it beside it, or choose another directory")
    is_new = not certificate.exists()
    if is_new:
        authority = _authority()
        _write(key, _private(authority.key), 0o600)
        _write(certificate, authority.certificate.public_bytes(Encoding.PEM), 0o644)
    else:
        authority = _read(certificate, key)
    for name in (*(room.name for room in ROOMS), COMMANDS):
        pair = _signed(authority, name, tuple(dict.fromkeys((name, MESH_NAME, *_HERE, *hosts))), days)
        own = directory / name
        own.mkdir(mode=0o700, exist_ok=True)
        _write(own / _AUTHORITY, certificate.read_bytes(), 0o644)
        _write(own / "tls.key", _private(pair.key), 0o600)
        _write(own / "tls.crt", pair.certificate.public_bytes(Encoding.PEM), 0o644)
    return is_new


def tls_of(directory: Path, name: str) -> TlsSettings:
    """Return the settings with which a room, or the commands, use the certificates of a directory.

    Raises:
        StartError: one of the files is not there.
    """
    own = directory.absolute() / name
    settings = TlsSettings.naming(cert_file=own / "tls.crt", key_file=own / "tls.key", ca_file=own / _AUTHORITY)
    missing = [path.name for path in settings.files.values() if not path.exists()]
    if missing:
        raise StartError(f"no {', '.join(missing)} in {own}; run: agent certificates {directory}")
    return settings


def _authority() -> _Pair:
    key = generate_private_key(SECP256R1())
    subject = _called(f"{MESH_NAME} authority")
    certificate = (
        _begun(subject, subject, key, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return _Pair(key, certificate)


def _signed(authority: _Pair, name: str, names: Sequence[str], days: int) -> _Pair:
    key = generate_private_key(SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key())
    certificate = (
        _begun(authority.certificate.subject, _called(name), key, days)
        .add_extension(x509.SubjectAlternativeName([_alternative(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        # A room answers and calls with one certificate.
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority.key, SHA256())
    )
    return _Pair(key, certificate)


def _begun(issuer: x509.Name, subject: x509.Name, key: EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=days))
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        try:
            return x509.DNSName(name)
        except ValueError:
            raise StartError(f"--host {name!r}: a name is written in ASCII letters, or an address") from None


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read(certificate: Path, key: Path) -> _Pair:
    try:
        secret = load_pem_private_key(key.read_bytes(), None)
        pair = _Pair(secret, x509.load_pem_x509_certificate(certificate.read_bytes()))  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise StartError(f"{certificate} and {key.name} are not an authority of this command: {error}") from error
    if not isinstance(secret, EllipticCurvePrivateKey) or secret.public_key() != pair.certificate.public_key():
        raise StartError(f"{key} is not the key of {certificate.name}")
    if pair.certificate.not_valid_after_utc < datetime.now(UTC):
        raise StartError(
            f"{certificate} has ended; make a new authority in another directory, see docs/operations/tls.md"
        )
    return pair


def _private(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, mode: int) -> None:
    """Put a file in its place in one step: rooms that run may look at any moment."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    draft.replace(path)
