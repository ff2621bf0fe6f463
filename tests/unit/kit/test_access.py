"""Access: keys, tenants, and the rules read from the contract."""

import pytest

from agent.common.v1 import access_pb2
from kit.auth.authenticator import TENANT_ID, Everybody
from kit.auth.keys import key_in
from kit.auth.policy import PolicyError, Rule, read_rules
from kit.auth.principal import Principal
from kit.errors import InvalidArgument, PermissionDenied, Unauthenticated
from tests.kit_server import SERVICE_KEY, USER_KEY, access, api_keys, echo_descriptor


def test_a_key_comes_as_its_own_header_or_as_bearer() -> None:
    assert key_in({"x-api-key": "a", "authorization": "Bearer b"}) == "a"
    assert key_in({"authorization": "bearer  b "}) == "b"
    assert key_in({"authorization": "Basic b"}) is None
    assert key_in({"authorization": "Bearer "}) is None
    assert key_in({}) is None


async def test_keys_say_who_calls() -> None:
    user = await api_keys().authenticate({"x-api-key": USER_KEY})
    service = await api_keys().authenticate({"x-api-key": SERVICE_KEY})
    assert (user.kind, user.tenant_id, user.via) == ("user", "default", "api_key")
    assert service.kind == "service"
    assert USER_KEY not in user.subject
    for metadata in ({}, {"x-api-key": "guess"}):
        with pytest.raises(Unauthenticated):
            await api_keys().authenticate(metadata)


async def test_a_service_acts_for_the_tenant_it_names_and_a_user_cannot() -> None:
    service = await api_keys().authenticate({"x-api-key": SERVICE_KEY, TENANT_ID: "acme"})
    assert service.tenant_id == "acme"
    with pytest.raises(InvalidArgument):
        await api_keys().authenticate({"x-api-key": SERVICE_KEY, TENANT_ID: "../etc"})
    with pytest.raises(PermissionDenied):
        await api_keys().authenticate({"x-api-key": USER_KEY, TENANT_ID: "acme"})
    assert (await api_keys().authenticate({"x-api-key": USER_KEY, TENANT_ID: "default"})).tenant_id == "default"


async def test_without_access_control_everybody_passes_every_rule() -> None:
    anyone = await Everybody().authenticate({})
    assert anyone.tenant_id == "default"
    for kinds in ({"user"}, {"service"}):
        Rule(frozenset(kinds), "agent.admin.read").admit(anyone)


def test_rules_let_in_whom_they_name() -> None:
    users = Rule(frozenset({"user"}), "meetings.read")
    users.admit(Principal("u", "user", scopes=frozenset({"meetings.read"})))
    with pytest.raises(PermissionDenied) as lacking:
        users.admit(Principal("u", "user", scopes=frozenset({"meetings.write"})))
    assert lacking.value.metadata == {"needs": "meetings.read"}
    with pytest.raises(PermissionDenied):
        users.admit(Principal("s", "service", scopes=frozenset({"*"})))
    with pytest.raises(Unauthenticated):
        users.admit(Principal("unknown", "anonymous", via="public"))
    Rule(frozenset({"anonymous"})).admit(Principal("unknown", "anonymous", via="public"))


def test_the_contract_must_say_everything() -> None:
    with pytest.raises(PolicyError, match="has no"):
        read_rules(echo_descriptor(None))
    with pytest.raises(PolicyError, match="who may call"):
        read_rules(echo_descriptor(access()))
    with pytest.raises(PolicyError, match="who may call"):
        read_rules(echo_descriptor(access(access_pb2.CALLER_USER, access_pb2.CALLER_UNSPECIFIED)))
    with pytest.raises(PolicyError, match="tenant"):
        read_rules(echo_descriptor(access(access_pb2.CALLER_USER, tenant=access_pb2.TENANT_RULE_UNSPECIFIED)))
    described = echo_descriptor(access(access_pb2.CALLER_SERVICE, scope="agent.admin.read"))
    rules = read_rules(described)
    assert rules[f"/{described.full_name}/Say"] == Rule(frozenset({"service"}), "agent.admin.read", changes=True)
