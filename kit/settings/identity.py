"""Settings of identity: AUTH_*, API_KEYS, OIDC_*, JWT_*, TENANT_*, MESH_*."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from kit.settings.section import CommaList, SecretList, Section

SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Ways to sign a token whose verifier cannot sign one himself."""

_SECRET_BYTES = 32
"""A shorter secret is guessed from one token that it signed."""


def _asymmetric(value: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [name for name in value if name not in SIGNATURES]
    if wrong or not value:
        raise ValueError(f"takes {', '.join(SIGNATURES)}")
    return value


def _web_address(value: str) -> str:
    if value and not value.startswith(("https://", "http://")):
        raise ValueError("must begin with https:// (or http:// on a desk)")
    return value


WebAddress = Annotated[str, AfterValidator(_web_address)]


class AuthSettings(Section):
    """Who may call."""

    older_names: ClassVar[Mapping[str, tuple[str, ...]]] = {"jwt_shared_secret": ("JWT_SECRET", "JWT_SECRET_KEY")}

    auth_mode: Literal["none", "api_key", "jwt"] = "api_key"
    """How callers prove who they are: API keys, or tokens of an OpenID Connect provider (`jwt`); `none` lets everybody
    in and is refused when APP_ENV=prod."""
    auth_require_jwt_in_prod: bool = True
    """Whether APP_ENV=prod asks for AUTH_MODE=jwt; `false` lets an installation serve with API keys."""
    api_keys: SecretList = ()
    """Keys of people and their programs, between commas; refused with AUTH_MODE=jwt or TENANT_ENFORCEMENT_ENABLED."""
    service_api_keys: SecretList = ()
    """Keys of rooms, operators and trusted backends, between commas; without MESH_SHARED_SECRET rooms call each other
    with the first."""
    service_read_api_keys: SecretList = ()
    """Keys of viewers, between commas: they read what operators read and change nothing."""
    auth_service_key_fallback: bool = True
    """Whether AUTH_MODE=jwt takes service API keys beside tokens; never when APP_ENV=prod."""
    mesh_shared_secret: SecretList = ()
    """Secret with which rooms sign their calls to each other, at least 32 characters, the same in every room. Several
    between commas while it is changed: the first signs, all are accepted."""

    oidc_issuer_url: WebAddress = ""
    """Issuer of the tokens, for example `https://id.example.com/realms/main`; its keys are found by discovery."""
    oidc_jwks_url: WebAddress = ""
    """Address of the issuer's keys, instead of discovery."""
    oidc_audience: CommaList = ()
    """Who tokens must be meant for, the client id or API identifier; several between commas, any of them will do."""
    oidc_algorithms: Annotated[CommaList, AfterValidator(_asymmetric)] = ("RS256",)
    """Signatures that are accepted, between commas; `none` and shared secrets are never among them."""
    oidc_keys_fresh_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """Age at which the issuer's keys are read again, in the background; while it is away the known ones serve on."""
    oidc_keys_pause_seconds: Annotated[float, Field(ge=0.1, le=3_600)] = 10.0
    """Least time between two readings of the keys, whatever callers send."""
    oidc_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Time that one reading of the keys may take."""

    jwt_shared_secret: SecretStr | None = None
    """Secret of tokens signed with HS256, HS384 or HS512, at least 32 characters; for desks without a provider. Older
    names: JWT_SECRET, JWT_SECRET_KEY."""
    jwt_leeway_seconds: Annotated[float, Field(ge=0, le=600)] = 30.0
    """How far the clocks of issuer and rooms may differ."""
    jwt_service_role_claim: str = "roles"
    """Claim with the roles of a token, a dotted path if it lies deeper: `realm_access.roles`."""
    jwt_service_allowed_roles: CommaList = ()
    """Roles that make a token a service's, between commas: `service,admin`."""
    jwt_service_claim_key: str = "token_type"
    """Claim that tells tokens of services from those of people."""
    jwt_service_claim_values: CommaList = ()
    """Its values that make a token a service's, between commas: `service,client_credentials,m2m`."""
    jwt_service_permission_claim: str = "scope"
    """Claim with the scopes of a service's token: words between spaces, or a list."""
    jwt_service_required_scopes_admin_read: CommaList = ("agent.admin.read", "agent.admin")
    """Scopes, any of which lets a service read what operators read."""
    jwt_service_required_scopes_admin_write: CommaList = ("agent.admin.write", "agent.admin")
    """Scopes, any of which lets a service do what operators do."""
    jwt_service_required_scopes_ws_internal: CommaList = ("agent.ws.internal", "agent.admin")
    """Scopes, any of which opens `/v1/ws/internal` to a service."""

    tenant_enforcement_enabled: bool = False
    """Whether a person's token must name its tenant; API keys of people are refused then. When off, a token that names
    none belongs to the tenant `default`."""
    tenant_claim_key: str = "tenant_id"
    """Claim that names the tenant, a dotted path if it lies deeper."""
    tenant_context_key: str = "tenant_id"
    """Key under which the tenant is saved in a meeting's context while TENANT_ENFORCEMENT_ENABLED."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.auth_mode == "api_key" and not (self.api_keys or self.service_api_keys):
            raise ValueError("API_KEYS: AUTH_MODE=api_key needs at least one key in API_KEYS or SERVICE_API_KEYS")
        if self.auth_mode == "jwt" and not (self.oidc_issuer_url or self.oidc_jwks_url or self.jwt_shared_secret):
            raise ValueError("OIDC_ISSUER_URL: AUTH_MODE=jwt needs OIDC_ISSUER_URL, OIDC_JWKS_URL or JWT_SHARED_SECRET")
        if self.auth_mode == "jwt" and not (
            self.mesh_shared_secret or (self.service_api_keys and self.auth_service_key_fallback)
        ):
            raise ValueError(
                "MESH_SHARED_SECRET: AUTH_MODE=jwt needs it, the same in every room, so that rooms know each other; "
                "`openssl rand -hex 32` makes one"
            )
        self._no_key_twice()
        for variable, secrets in (
            ("MESH_SHARED_SECRET", self.mesh_shared_secret),
            ("JWT_SHARED_SECRET", (self.jwt_shared_secret,) if self.jwt_shared_secret else ()),
        ):
            if any(len(secret.get_secret_value().encode()) < _SECRET_BYTES for secret in secrets):
                raise ValueError(f"{variable}: needs at least {_SECRET_BYTES} characters; try `openssl rand -hex 32`")
        if self.jwt_shared_secret in self.mesh_shared_secret:
            raise ValueError("MESH_SHARED_SECRET: must not be JWT_SHARED_SECRET, which signs tokens of people")
        return self

    def _no_key_twice(self) -> None:
        holders: dict[str, str] = {}
        for variable in ("API_KEYS", "SERVICE_API_KEYS", "SERVICE_READ_API_KEYS"):
            for key in getattr(self, variable.lower()):
                other = holders.setdefault(key.get_secret_value(), variable)
                if other != variable:
                    raise ValueError(f"{other}: a key stands in both {other} and {variable}; it can only be one kind")

    @property
    def outgoing_key(self) -> str | None:
        """The key with which a room calls other rooms when there is no MESH_SHARED_SECRET."""
        return self.service_api_keys[0].get_secret_value() if self.service_api_keys else None

    @property
    def shared_by_rooms(self) -> tuple[SecretStr, ...]:
        """What rooms may seal things with that other rooms believe; the first seals, all are believed."""
        return self.mesh_shared_secret or self.service_api_keys

    @property
    def tenant_context(self) -> str:
        """Key under which a meeting's context keeps the tenant; empty: it does not."""
        return self.tenant_context_key if self.tenant_enforcement_enabled else ""
