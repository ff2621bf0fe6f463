"""The gate that every RPC passes: deny by default, and a log line for each decision."""

from collections.abc import Mapping

from kit.audit.decision import AuditSink, Decision, NoTrail, Outcome
from kit.audit.origin import Origin, Origins
from kit.auth.authenticator import Authenticator
from kit.auth.keys import key_in, token_in
from kit.auth.policy import Rule
from kit.auth.principal import Principal
from kit.clock import now
from kit.errors import AppError, PermissionDenied
from kit.telemetry import logs

_UNKNOWN = Principal("unknown", "anonymous", via="public")

log = logs.get()


class Gate:
    """Decides by the rules of the contract; a path without a rule is closed to everybody.

    Args:
        authenticator: says who calls.
        rules: the rule of each path.
        audit: keeps the decisions.
        origins: reads which HTTP request a call stands for.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        rules: Mapping[str, Rule],
        audit: AuditSink | None = None,
        origins: Origins | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._rules = rules
        self._audit = audit or NoTrail()
        self._origins = origins or Origins()

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
            self._tell("deny", path, rule, principal, metadata, error.message)
            raise
        self._tell("allow", path, rule, principal, metadata, "rule")
        return principal

    def _tell(
        self,
        outcome: Outcome,
        path: str,
        rule: Rule | None,
        principal: Principal,
        metadata: Mapping[str, str],
        reason: str,
    ) -> None:
        origin = self._origins.read(metadata) or Origin("GRPC", path)
        presented = "jwt" if token_in(metadata) else "api_key" if key_in(metadata) else "none"
        decision = Decision(
            outcome,
            endpoint=origin.path,
            method=origin.method,
            subject=principal.subject,
            auth_type=presented if principal is _UNKNOWN else principal.via,
            reason=reason,
            tenant_id=principal.tenant_id,
            time=now(),
            weight=rule.weight if rule else "write",
            rpc=path,
        )
        if outcome == "deny":
            log.warning("security_audit_deny", **decision.log_fields())
        else:
            log.debug("security_audit_allow", **decision.log_fields())
        self._audit.record(decision)

    async def _identify(self, rule: Rule, metadata: Mapping[str, str]) -> Principal:
        try:
            return await self._authenticator.authenticate(metadata)
        except AppError:  # whatever is wrong with credentials, nobody needed them
            if rule.public:
                return _UNKNOWN
            raise
