"""Settings: frozen sections, read once at the start, public environment names."""

from kit.settings.address import Address
from kit.settings.description import Variable, describe
from kit.settings.section import CommaList, SecretList, Section, SettingsError, load
from kit.settings.sections import (
    AuthSettings,
    CoreSettings,
    DatabaseSettings,
    RpcSettings,
    StorageSettings,
    TargetSettings,
    TelemetrySettings,
)

__all__ = [
    "Address",
    "AuthSettings",
    "CommaList",
    "CoreSettings",
    "DatabaseSettings",
    "RpcSettings",
    "SecretList",
    "Section",
    "SettingsError",
    "StorageSettings",
    "TargetSettings",
    "TelemetrySettings",
    "Variable",
    "describe",
    "load",
]
