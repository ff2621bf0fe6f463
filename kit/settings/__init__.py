"""Settings: frozen sections, read once at the start, public environment names."""

from kit.settings.address import Address
from kit.settings.description import Variable, describe
from kit.settings.identity import AuthSettings
from kit.settings.problems import SettingsError
from kit.settings.section import CommaList, SecretList, Section, load
from kit.settings.sections import (
    CoreSettings,
    DatabaseSettings,
    QueueSettings,
    RpcSettings,
    TargetSettings,
    TelemetrySettings,
)
from kit.settings.storage import StorageSettings
from kit.settings.target import Target
from kit.settings.tls import TlsSettings
from kit.settings.vault import VaultSettings

__all__ = [
    "Address",
    "AuthSettings",
    "CommaList",
    "CoreSettings",
    "DatabaseSettings",
    "QueueSettings",
    "RpcSettings",
    "SecretList",
    "Section",
    "SettingsError",
    "StorageSettings",
    "Target",
    "TargetSettings",
    "TelemetrySettings",
    "TlsSettings",
    "Variable",
    "VaultSettings",
    "describe",
    "load",
]
