"""Readiness of the connector: the database, the provider that meetings go through, SberJazz in production."""

from collections.abc import Sequence
from dataclasses import dataclass

from kit.db.engine import Database, DatabaseUnavailable
from kit.lifecycle import StartError
from kit.ops.sources import Check
from kit.settings import AuthSettings, CoreSettings
from kit.telemetry import logs
from services.connector.provider import SourceLost
from services.connector.providers.sberjazz import SberJazzSettings
from services.connector.reconciliation.reconciliation import Reconciliation
from services.connector.registry import Registry

_SBERJAZZ = "sberjazz"

log = logs.get()


async def database_check(database: Database) -> Check:
    """Check the database. Without one running sessions go on, so calls do too."""
    try:
        await database.ping()
    except DatabaseUnavailable:
        return Check("database", False, "PostgreSQL cannot be reached: see DATABASE_URL", critical=False)
    return Check("database", True)


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """What must hold of the provider of meetings that name none; SberJazz has rules of its own in production."""

    core: CoreSettings
    auth: AuthSettings
    sberjazz: SberJazzSettings

    def checks(self, registry: Registry) -> Sequence[Check]:
        """Check what can be known without asking anybody."""
        name = registry.default_name
        installed = registry.installed[name]
        there = Check(f"provider {name}", installed.provider is not None, installed.hint, critical=False)
        return [there, *self._sberjazz_checks()] if name == _SBERJAZZ and self.core.is_prod else [there]

    async def startup_probe(self, reconciliation: Reconciliation, registry: Registry) -> None:
        """Ask the real SberJazz once, in production and where meetings go through it.

        Raises:
            StartError: it does not answer, and SBERJAZZ_STARTUP_PROBE_FAIL_FAST_IN_PROD.
        """
        wanted = registry.default_name == _SBERJAZZ and self.sberjazz.startup_probe_enabled
        if not self.core.is_prod or not wanted or registry.installed[_SBERJAZZ].provider is None:
            return
        try:
            await reconciliation.probe(_SBERJAZZ)
        except SourceLost as lost:
            log.error("startup_probe_failed", provider=_SBERJAZZ, error=str(lost))
            if self.sberjazz.startup_probe_fail_fast_in_prod:
                raise StartError(f"SBERJAZZ_API_BASE: SberJazz does not answer ({lost})") from lost

    def _sberjazz_checks(self) -> Sequence[Check]:
        base, token = self.sberjazz.api_base, self.sberjazz.api_token
        https = base.startswith("https://") or (bool(base) and not self.sberjazz.require_https_in_prod)
        rules = (
            ("sberjazz address", https, "SBERJAZZ_API_BASE must begin with https:// when APP_ENV=prod"),
            ("sberjazz token", bool(token and token.get_secret_value()), "set SBERJAZZ_API_TOKEN"),
            ("sberjazz callers", self.auth.auth_mode == "jwt", "SberJazz in production needs AUTH_MODE=jwt"),
        )
        return [Check(name, ok, "" if ok else message) for name, ok, message in rules]
