"""What the connector demands of the provider that meetings go through; SberJazz in production has rules of its own."""

from pydantic import SecretStr

from kit.settings import AuthSettings, CoreSettings
from services.connector.provider import Surroundings
from services.connector.providers.sberjazz import SberJazzSettings
from services.connector.readiness import ProviderRules
from services.connector.registry import make_registry

KEYS = AuthSettings(auth_mode="api_key", service_api_keys=(SecretStr("k"),))


def wrong(default: str, env: str, sberjazz: SberJazzSettings, auth: AuthSettings = KEYS) -> dict[str, str]:
    """Return the checks that fail, with their messages."""
    registry = make_registry(Surroundings("http://gateway", None), default)
    rules = ProviderRules(CoreSettings(app_env=env), auth, sberjazz)
    return {check.name: check.message for check in rules.checks(registry) if not check.ok}


def settings(base: str, token: str = "t", *, https: bool = True) -> SberJazzSettings:
    """Return settings of SberJazz."""
    return SberJazzSettings(api_base=base, api_token=SecretStr(token) if token else None, require_https_in_prod=https)


def test_the_default_provider_must_be_usable() -> None:
    assert wrong("room", "prod", settings("")) == {}
    assert list(wrong("sberjazz", "dev", settings(""))) == ["provider sberjazz"]


def test_sberjazz_in_production_needs_https_a_token_and_tokens_of_callers() -> None:
    found = wrong("sberjazz", "prod", settings("http://jazz.example", ""))
    assert {"sberjazz address", "sberjazz token", "sberjazz callers"} <= found.keys()
    assert "SBERJAZZ_API_BASE" in found["sberjazz address"]
    assert "AUTH_MODE=jwt" in found["sberjazz callers"]
    found = wrong("sberjazz", "prod", settings("http://jazz.example", https=False))
    assert "sberjazz address" not in found
    found = wrong("sberjazz", "prod", settings("https://jazz.example"))
    assert "sberjazz address" not in found
    assert "sberjazz token" not in found
    assert "sberjazz callers" not in wrong("sberjazz", "dev", settings("http://jazz.example"))
