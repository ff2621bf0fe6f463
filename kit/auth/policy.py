"""The access rule of each RPC, read from the contract's `agent.common.v1.access` option."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from google.protobuf.descriptor import ServiceDescriptor

from agent.common.v1 import access_pb2
from kit.auth.principal import ADMIN_READ, Principal
from kit.errors import PermissionDenied, Unauthenticated

_KINDS = {
    access_pb2.CALLER_USER: "user",
    access_pb2.CALLER_SERVICE: "service",
    access_pb2.CALLER_PUBLIC: "anonymous",
}
_ADMIN_SCOPES = "agent.admin."


class PolicyError(Exception):
    """The contract leaves open who may call an RPC; a bug, found at the start."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call one RPC. `public` rules let everybody in, known or not."""

    kinds: frozenset[str]
    scope: str = ""
    changes: bool = False
    """Whether the call may change something, for the audit trail."""

    @property
    def weight(self) -> Literal["read", "write", "admin"]:
        """What the call can do, as the audit trail sorts decisions."""
        if self.scope.startswith(_ADMIN_SCOPES):
            return "admin"
        return "write" if self.changes else "read"

    @property
    def public(self) -> bool:
        """Whether callers need no credentials."""
        return "anonymous" in self.kinds

    def admit(self, principal: Principal) -> None:
        """Let a caller pass.

        Raises:
            Unauthenticated: the caller gave no credentials and needs some.
            PermissionDenied: the caller is of the wrong kind or lacks the scope.
        """
        if principal.trusted or self.public:
            return
        if principal.kind == "anonymous":
            raise Unauthenticated
        if principal.kind not in self.kinds:
            raise PermissionDenied("this kind of caller may not call this", needs=" or ".join(sorted(self.kinds)))
        if principal.viewer and self.scope != ADMIN_READ:
            raise PermissionDenied("viewers only read", needs=self.scope or "service")
        if not principal.has_scope(self.scope):
            raise PermissionDenied("the credentials lack a scope", needs=self.scope)


PUBLIC = Rule(frozenset({"anonymous"}))
ANY_CREDENTIALS = Rule(frozenset({"user", "service"}))

# Services of gRPC itself, whose contract is not ours to annotate. Probes carry no credentials; the contract is only
# shown to callers that are known.
FIXED: Mapping[str, Rule] = {
    "/grpc.health.v1.Health/Check": PUBLIC,
    "/grpc.health.v1.Health/Watch": PUBLIC,
    "/grpc.health.v1.Health/List": PUBLIC,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANY_CREDENTIALS,
}


def read_rules(service: ServiceDescriptor) -> dict[str, Rule]:
    """Return the rule of each method of a service, by its path `/package.Service/Method`.

    Raises:
        PolicyError: a method has no rule, or one that does not say everything.
    """
    rules: dict[str, Rule] = {}
    for method in service.methods:
        options = method.GetOptions()
        if not options.HasExtension(access_pb2.access):
            raise PolicyError(f"{method.full_name} has no (agent.common.v1.access) option")
        access = options.Extensions[access_pb2.access]
        if not access.callers or access_pb2.CALLER_UNSPECIFIED in access.callers:
            raise PolicyError(f"{method.full_name} does not say who may call it")
        if access.tenant == access_pb2.TENANT_RULE_UNSPECIFIED:
            raise PolicyError(f"{method.full_name} does not say how it is bound to a tenant")
        kinds = frozenset(_KINDS[caller] for caller in access.callers)
        changes = options.idempotency_level != options.NO_SIDE_EFFECTS
        rules[f"/{service.full_name}/{method.name}"] = Rule(kinds, access.scope, changes)
    return rules
