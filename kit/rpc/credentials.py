"""TLS of servers and channels: credentials made of this process's certificates, also of those renewed while it runs."""

from dataclasses import dataclass

import grpc

from kit.rpc.certificates import CertificateFiles, Material, own_name, read_material
from kit.settings import SettingsError, TlsSettings, load


def process_tls() -> TlsSettings:
    """Return the TLS settings of this process.

    Raises:
        SettingsError: they are wrong.
    """
    (settings,) = load(TlsSettings)
    return settings


def to_itself(settings: TlsSettings | None = None) -> TlsSettings:
    """Return the settings with which this process calls its own server: at whatever address, under its own name.

    Args:
        settings: of the process; read from the environment if None.

    Raises:
        SettingsError: they are wrong, or a file that they name is.
    """
    settings = settings or process_tls()
    if not settings.on or settings.server_name:
        return settings
    return settings.model_copy(update={"server_name": own_name(read_material(settings).names)})


@dataclass(frozen=True, slots=True)
class ServerTls:
    """How a server listens: its certificates, and whether callers must show theirs."""

    files: CertificateFiles
    client_certificates: bool

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that ask the files at each new connection."""

        def configuration() -> grpc.ServerCertificateConfiguration:
            material = self.files.current()
            assert material.key is not None
            assert material.certificate is not None  # `server_tls` has seen to it, and TlsSettings to the key
            return grpc.ssl_server_certificate_configuration(
                [(material.key, material.certificate)], root_certificates=material.authorities
            )

        return grpc.dynamic_ssl_server_credentials(
            configuration(), configuration, require_client_authentication=self.client_certificates
        )

    def __str__(self) -> str:
        return "mutual" if self.client_certificates else "server"


def server_tls(settings: TlsSettings, *, client_certificates: bool) -> ServerTls | None:
    """Return how a server listens; None without TLS.

    Args:
        settings: of the process.
        client_certificates: whether callers of this port are asked for one, where GRPC_TLS_CLIENT_AUTH does not say
            otherwise.

    Raises:
        SettingsError: a file is not in order, or there is no certificate.
    """
    if not settings.on:
        return None
    if settings.cert_file is None:
        raise SettingsError(
            ["GRPC_TLS_CERT_FILE: a room needs a certificate of its own to serve over TLS; set GRPC_TLS_KEY_FILE too"]
        )
    return ServerTls(CertificateFiles(settings), client_certificates and settings.client_auth == "require")


def channel_credentials(material: Material) -> grpc.ChannelCredentials:
    """Return what a channel shows and whom it believes."""
    return grpc.ssl_channel_credentials(material.authorities, material.key, material.certificate)
