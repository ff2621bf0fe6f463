"""What an installation with APP_ENV=prod must not do, as far as identity goes."""

from urllib.parse import urlsplit

from kit.ops.sources import Check
from kit.settings import AuthSettings, CoreSettings, TlsSettings, VaultSettings, load


def refusals(auth: AuthSettings, core: CoreSettings) -> list[Check]:
    """Return a failed check per rule that the settings break; none outside of production.

    Each message begins with the variable to change and says to what.
    """
    if not core.is_prod:
        return []
    failed: list[Check] = []

    def need(held: bool, name: str, message: str) -> None:
        if not held:
            failed.append(Check(name, False, message))

    (tls,) = load(TlsSettings)
    need(not tls.refusal(is_prod=True), "grpc_tls", tls.refusal(is_prod=True))
    jwt = auth.auth_mode == "jwt"
    need(
        jwt or not auth.auth_require_jwt_in_prod,
        "auth_mode",
        f"AUTH_MODE: {auth.auth_mode} is refused when APP_ENV=prod; use jwt, or set AUTH_REQUIRE_JWT_IN_PROD=false",
    )
    if jwt:
        need(
            bool(auth.mesh_shared_secret),
            "mesh_shared_secret",
            "MESH_SHARED_SECRET: needed when APP_ENV=prod and AUTH_MODE=jwt, where rooms have no service keys; "
            "`openssl rand -hex 32` makes one",
        )
        need(
            bool(auth.oidc_audience) or not (auth.oidc_issuer_url or auth.oidc_jwks_url),
            "oidc_audience",
            "OIDC_AUDIENCE: needed when APP_ENV=prod, or tokens meant for other applications would be good here",
        )
        for variable, address in (("OIDC_ISSUER_URL", auth.oidc_issuer_url), ("OIDC_JWKS_URL", auth.oidc_jwks_url)):
            need(_safe(address), variable.lower(), f"{variable}: must begin with https:// when APP_ENV=prod")
    (vault,) = load(VaultSettings)
    if vault.enabled:
        need(_safe(vault.vault_addr), "vault_addr", "VAULT_ADDR: must begin with https:// when APP_ENV=prod")
        need(
            not vault.vault_skip_verify,
            "vault_skip_verify",
            "VAULT_SKIP_VERIFY: is refused when APP_ENV=prod; VAULT_CACERT names an authority of your own",
        )
    return failed


def _safe(address: str) -> bool:
    """Whether what is sent there stays secret: over TLS, or never leaves this machine."""
    parts = urlsplit(address)
    return not address or parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")
