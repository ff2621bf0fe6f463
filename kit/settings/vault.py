"""Settings of the vault: SECRETS_PROVIDER and VAULT_*; read before every other section."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource

from kit.settings.section import Section


def _pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in map(str.strip, value.split(",")) if pair]
    if any(not (variable.strip() and field.strip()) for variable, _, field in pairs):
        raise ValueError("is not a list of VARIABLE=field, for example API_KEYS=api_keys")
    return {variable.strip().upper(): field.strip() for variable, _, field in pairs}


FieldMap = Annotated[Mapping[str, str], NoDecode, BeforeValidator(_pairs)]


class VaultSettings(Section):
    """Secrets kept in HashiCorp Vault or OpenBao, engine KV."""

    secrets_provider: Literal["env", "vault"] = "env"
    """Where secrets come from besides the environment; `vault` reads one secret of a KV engine at the start."""
    vault_addr: str = ""
    """Address of the vault, `https://vault.example.com`."""
    vault_token: SecretStr | None = None
    """Token that may read the secret."""
    vault_kv_mount: str = "secret"
    """Path at which the KV engine is mounted."""
    vault_kv_version: Annotated[int, Field(ge=1, le=2)] = 2
    """Version of the KV engine: 1 or 2."""
    vault_secret_path: str = ""
    """Path of the secret in the engine, for example `interview-agent`."""
    vault_field_map: FieldMap = Field(default_factory=dict)
    """Which variable takes its value from which field, `API_KEYS=api_keys,JWT_SHARED_SECRET=jwt_shared_secret`; unset:
    every field whose name, in capitals, is that of a variable."""
    vault_namespace: str = ""
    """Enterprise namespace."""
    vault_timeout_sec: PositiveFloat = 5.0
    """Time that the reading may take."""
    vault_cacert: Path | None = None
    """PEM file of the authority that signed the vault's certificate; unset: the system's authorities."""
    vault_skip_verify: bool = False
    """Whether any certificate of the vault is taken for good; for a desk, refused when APP_ENV=prod."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """All sources but the vault itself."""
        return cls.local_sources(settings_cls, init_settings, env_settings, dotenv_settings)

    @property
    def enabled(self) -> bool:
        """Whether the vault is to be read."""
        return self.secrets_provider == "vault"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.enabled:
            return self
        if not self.vault_addr.startswith(("https://", "http://")):
            raise ValueError("VAULT_ADDR: SECRETS_PROVIDER=vault needs an address such as https://vault.example.com")
        if self.vault_token is None:
            raise ValueError("VAULT_TOKEN: SECRETS_PROVIDER=vault needs a token; VAULT_TOKEN_FILE may name its file")
        if not self.vault_secret_path.strip("/"):
            raise ValueError("VAULT_SECRET_PATH: SECRETS_PROVIDER=vault needs the path of the secret")
        return self
