"""The gate that every RPC passes: deny by default, and a log line for each decision."""

from collections.abc import Mapping

from kit.auth.authenticator import Authenticator
from kit.auth.keys import key_in
from kit.auth.policy import Rule
from kit.auth.principal import Principal
from kit.errors import AppError, PermissionDenied, Unauthenticated
from kit.telemetry import logs

_UNKNOWN = Principal("unknown", "anonymous", via="public")

log = logs.get()


class Gate:
    """Decides by the rules of the contract; a path without a rule is closed to everybody."""

    def __init__(self, authenticator: Authenticator, rules: Mapping[str, Rule]) -> None:
        self._authenticator = authenticator
        self._rules = rules

    async def admit(self, path: str, metadata: Mapping[str, str]) -> Principal:
        """Return the caller of `path`.

        Raises:
            Unauthenticated: credentials are missing or unknown.
            PermissionDenied: the caller may not call this.
        """
        rule = self._rules.get(path)
        principal = _UNKNOWN
        try:
            if rule is None:
                raise PermissionDenied("nobody may call this")
            principal = await self._identify(rule, metadata)
            rule.admit(principal)
        except AppError as error:
            log.warning("security_audit_deny", **_fields(path, principal, metadata), reason=error.message)
            raise
        log.debug("security_audit_allow", **_fields(path, principal, metadata), reason="rule")
        return principal

    async def _identify(self, rule: Rule, metadata: Mapping[str, str]) -> Principal:
        try:
            return await self._authenticator.authenticate(metadata)
        except Unauthenticated:
            if rule.public:
                return _UNKNOWN
            raise


def _fields(path: str, principal: Principal, metadata: Mapping[str, str]) -> dict[str, str]:
    presented = "api_key" if key_in(metadata) else "none"
    return {
        "endpoint": path,
        "method": "GRPC",
        "subject": principal.subject,
        "auth_type": presented if principal is _UNKNOWN else principal.via,
    }
