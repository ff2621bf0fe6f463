"""Tokens with which rooms know each other."""

import time

import jwt
import pytest

from kit.auth.authenticator import ApiKeys, make_authenticator, make_credential
from kit.auth.keys import KeyRing, is_token, key_in, token_in
from kit.auth.mesh import MeshCredential, MeshTokens
from kit.auth.outgoing import header
from kit.auth.principal import TENANT_ID
from kit.errors import Unauthenticated
from kit.settings import AuthSettings, CoreSettings

OLD, NEW = "the-secret-of-the-rooms-until-today", "the-secret-of-the-rooms-as-of-today"


async def test_a_room_is_known_by_its_token_and_acts_for_the_tenant_it_names():
    auth = ApiKeys(KeyRing((), ()), MeshTokens([NEW]))
    carrier, value = header(MeshCredential("ingest", NEW))
    assert (carrier, value[:7]) == ("authorization", "Bearer ")
    room = await auth.authenticate({carrier: value, TENANT_ID: "acme"})
    assert (room.subject, room.kind, room.tenant_id, room.via) == ("service:ingest", "service", "acme", "mesh")
    assert room.has_scope("agent.admin.write")


def test_the_secret_changes_while_rooms_run():
    during = MeshTokens([NEW, OLD])
    assert during.verify(MeshCredential("stt", OLD)()).subject == "service:stt"
    assert during.verify(MeshCredential("stt", NEW)()).subject == "service:stt"
    with pytest.raises(Unauthenticated, match="another MESH_SHARED_SECRET"):
        MeshTokens([NEW]).verify(MeshCredential("stt", OLD)())


def test_a_token_is_used_again_until_it_is_nearly_over(monkeypatch: pytest.MonkeyPatch):
    start = time.time()
    credential = MeshCredential("stt", NEW)
    first = credential()
    monkeypatch.setattr(time, "time", lambda: start + 170)
    assert credential() == first
    monkeypatch.setattr(time, "time", lambda: start + 190)
    assert credential() != first
    monkeypatch.setattr(time, "time", lambda: start - 3600)
    early = jwt.decode(credential(), options={"verify_signature": False})
    assert early["iat"] <= start - 3600, "a clock that was set back leaves no token from the future"


@pytest.mark.parametrize(
    ("claims", "headers"),
    [
        ({"exp": 1}, {}),
        ({"exp": None}, {}),
        ({"iss": "somebody"}, {}),
        ({"aud": "somebody"}, {}),
        ({"sub": None}, {}),
        ({}, {"alg": "HS512"}),
    ],
)
def test_a_token_that_no_room_would_make_is_refused(claims: dict[str, object], headers: dict[str, str]):
    moment = int(time.time())
    usual = {"iss": "agent-mesh", "aud": "agent-mesh", "sub": "stt", "iat": moment, "exp": moment + 60}
    wanted = {name: value for name, value in (usual | claims).items() if value is not None}
    token = jwt.encode(wanted, NEW * 2, headers.get("alg", "HS256"), {"typ": "mesh+jwt"})
    assert MeshTokens.made(token)
    with pytest.raises(Unauthenticated):
        MeshTokens([NEW * 2]).verify(token)


async def test_a_token_of_a_person_is_never_a_rooms(monkeypatch: pytest.MonkeyPatch):
    settings = AuthSettings(
        auth_mode="jwt",
        jwt_shared_secret=OLD,
        mesh_shared_secret=NEW,
    )
    auth = make_authenticator(settings, CoreSettings())
    moment = int(time.time())
    claims = {"iss": "agent-mesh", "aud": "agent-mesh", "sub": "stt", "iat": moment, "exp": moment + 60}
    with pytest.raises(Unauthenticated):
        await auth.authenticate({"x-api-key": jwt.encode(claims, OLD, "HS256", {"typ": "mesh+jwt"})})
    person = await auth.authenticate({"x-api-key": jwt.encode(claims, OLD, "HS256")})
    assert person.kind == "user"
    room = make_credential(settings, "report")
    assert room is not None
    assert (await auth.authenticate(dict([header(room)]))).subject == "service:report"


def test_a_key_stays_a_key_and_a_token_is_found_where_keys_stand():
    assert header("a-key") == ("x-api-key", "a-key")
    token = MeshCredential("stt", NEW)()
    assert is_token(token)
    assert not is_token("eyJ-a-key-that-begins-so")
    assert token_in({"x-api-key": token}) == token
    assert token_in({"x-api-key": "a-key", "authorization": f"bearer {token}"}) == token
    assert token_in({"x-api-key": "a-key"}) is None
    assert key_in({"authorization": f"Bearer {token}"}) == token
