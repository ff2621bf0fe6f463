"""Where values of settings come from besides the environment and `.env`: older names, named files, the vault."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, PydanticBaseSettingsSource

from kit.settings.problems import SettingsError

if TYPE_CHECKING:
    from kit.settings.section import Section
    from kit.settings.vault import VaultSettings


class _WholeSource(PydanticBaseSettingsSource):
    """A source that is read as a whole."""

    @property
    def section(self) -> "type[Section]":
        """The section that is being read."""
        return cast("type[Section]", self.settings_cls)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("the source is read as a whole")


class OlderNamesSource(_WholeSource):
    """Values of variables that a field had in other products."""

    def __init__(self, section: "type[Any]", where: Literal["environment", "dotenv"]) -> None:
        super().__init__(section)
        self._where = where

    def __call__(self) -> dict[str, Any]:
        source = EnvSettingsSource if self._where == "environment" else DotEnvSettingsSource
        if not self.section.older_names:
            return {}
        given = source(self.section).env_vars
        return {
            field: value
            for field, names in self.section.older_names.items()
            if (value := next((given[name.lower()] for name in names if given.get(name.lower())), None))
        }


class NamedFileSource(_WholeSource):
    """Values read from the file that NAME_FILE names, as container secrets are delivered."""

    def __call__(self) -> dict[str, Any]:
        environment = EnvSettingsSource(self.section).env_vars
        dotenv = DotEnvSettingsSource(self.section).env_vars
        values: dict[str, Any] = {}
        problems: list[str] = []
        for field in self.section.model_fields:
            variables = self.section.variables(field)
            if any(environment.get(variable.lower()) for variable in variables):
                continue  # the variable itself wins, so a stale file path does no harm
            for variable in variables:
                key = f"{variable}_FILE".lower()
                path = environment.get(key) or dotenv.get(key)
                if not path:
                    continue
                try:
                    content = Path(path).read_text(encoding="utf-8").strip()
                except (OSError, UnicodeDecodeError) as error:
                    reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
                    problems.append(f"{variable}_FILE: cannot read {path} ({reason})")
                    break
                if content:
                    values[field] = content
                    break
        if problems:
            raise SettingsError(problems)
        return values


class VaultSource(_WholeSource):
    """Values of the fields of one secret in a vault, read once per process."""

    def __call__(self) -> dict[str, Any]:
        secret = vault_values()
        if not secret:
            return {}
        return {
            field: value
            for field in self.section.model_fields
            if (value := next((secret[name] for name in self.section.variables(field) if name in secret), None))
        }


_latest: "list[tuple[VaultSettings, Mapping[str, str] | SettingsError]]" = []
"""The one reading of this process, and for which settings it was made."""


def vault_values() -> Mapping[str, str]:
    """Return values by variable from the vault that the environment names; nothing without SECRETS_PROVIDER=vault.

    The vault is asked once, also when it fails: a start asks for many sections and must not wait for each.

    Raises:
        SettingsError: the vault is set up wrongly, cannot be reached, or lacks a field.
    """
    from kit.settings.section import load  # a section reads the vault, and the vault's own settings are a section
    from kit.settings.vault import VaultSettings

    (settings,) = load(VaultSettings)
    if not settings.enabled:
        return {}
    outcome = next((outcome for known, outcome in _latest if known == settings), None)
    if outcome is None:
        try:
            outcome = _read(settings)
        except SettingsError as error:
            outcome = error
        _latest[:] = [(settings, outcome)]
    if isinstance(outcome, SettingsError):
        raise outcome
    return outcome


def _read(settings: "VaultSettings") -> Mapping[str, str]:
    from kit.secrets.vault import VaultError, VaultSecret, read_secret  # an HTTP client, which few starts need

    assert settings.vault_token is not None  # checked by the section
    try:
        fields = read_secret(
            VaultSecret(
                address=settings.vault_addr,
                token=settings.vault_token.get_secret_value(),
                mount=settings.vault_kv_mount,
                version=settings.vault_kv_version,
                path=settings.vault_secret_path,
                namespace=settings.vault_namespace,
                timeout_seconds=settings.vault_timeout_sec,
                authority=settings.vault_cacert,
                skip_verify=settings.vault_skip_verify,
            )
        )
    except VaultError as error:
        raise SettingsError([str(error)]) from error
    if not settings.vault_field_map:
        return {name.upper(): value for name, value in fields.items()}
    missing = [
        f"VAULT_FIELD_MAP: the secret has no field {field!r}, which {variable} asks for"
        for variable, field in settings.vault_field_map.items()
        if field not in fields and not os.environ.get(variable)
    ]
    if missing:
        raise SettingsError(missing)
    return {variable: fields[field] for variable, field in settings.vault_field_map.items() if field in fields}
