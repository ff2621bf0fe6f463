"""Certificates that a test makes, good and bad, and the settings that name them."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from kit.settings import TlsSettings


@dataclass
class Authority:
    """Signs certificates into a directory."""

    directory: Path
    name: str = "authority"

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self._key = generate_private_key(SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._begun(self._subject, self._key, 10).add_extension(constraints, critical=True)
        self.file = self.directory / f"{self.name}.pem"
        self.file.write_bytes(certificate.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    def issue(self, name: str, *, days: float = 10, names: tuple[str, ...] = ("localhost", "127.0.0.1")) -> TlsSettings:
        """Write a certificate, in place of the one that this name had, and return the settings that name it."""
        key = generate_private_key(SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternatives = x509.SubjectAlternativeName([_alternative(each) for each in (name, *names)])
        certificate = self._begun(subject, key, days).add_extension(alternatives, critical=False)
        cert_file, key_file = self.directory / f"{name}.pem", self.directory / f"{name}-key.pem"
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        cert_file.write_bytes(certificate.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        return TlsSettings.naming(cert_file=cert_file, key_file=key_file, ca_file=self.file)

    def without_certificate(self) -> TlsSettings:
        """Return the settings of a program that only believes this authority."""
        return TlsSettings.naming(ca_file=self.file)

    def _begun(self, subject: x509.Name, key: EllipticCurvePrivateKey, days: float) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .issuer_name(self._subject)
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=20))
            .not_valid_after(now + timedelta(days=days))
        )


PLAIN = TlsSettings.naming(ca_file=None)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
