"""Settings from a vault, with the vault there: before every section, behind everything that is set here."""

import socket
from pathlib import Path
from typing import Any

import pytest

from kit.settings import AuthSettings, DatabaseSettings, SettingsError, VaultSettings, load
from tests.fakes.certificate import server_certificate
from tests.fakes.vault_server import TOKEN, VaultServer, running_vault

FIELDS = {"api_keys": "user-key-from-the-vault", "service_api_keys": ["one", "two"], "port": 5432, "on": True}
MAPPED = "a-shared-secret-of-32-characters-or-more"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for section in (AuthSettings, DatabaseSettings, VaultSettings):
        for field in section.model_fields:
            for variable in section.variables(field):
                monkeypatch.delenv(variable, raising=False)


def point_at(vault: VaultServer, monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    usual = {
        "SECRETS_PROVIDER": "vault",
        "VAULT_ADDR": vault.url,
        "VAULT_TOKEN": TOKEN,
        "VAULT_SECRET_PATH": "interview-agent",
        "VAULT_KV_VERSION": str(vault.version),
    }
    for name, value in {**usual, **settings}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_give_every_field_that_has_a_variables_name(version: int, monkeypatch: pytest.MonkeyPatch):
    with running_vault(version=version, secrets={"interview-agent": FIELDS}) as vault:
        point_at(vault, monkeypatch)
        (auth,) = load(AuthSettings)
        load(AuthSettings, DatabaseSettings)
    assert [key.get_secret_value() for key in auth.service_api_keys] == ["one", "two"]
    assert [key.get_secret_value() for key in auth.api_keys] == ["user-key-from-the-vault"]
    assert len(vault.asked) == 1, "one reading per process"


def test_a_map_names_the_fields_and_a_namespace_and_a_mount_are_minded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    secrets = {"teams/calls/agent": {"k": "mapped", "s": MAPPED, "service_api_keys": "unmapped", "api_keys": "also"}}
    with running_vault(mount="kv/prod", namespace="ns1/", secrets=secrets) as vault:
        point_at(
            vault,
            monkeypatch,
            VAULT_TOKEN="",
            VAULT_TOKEN_FILE=str(tmp_path / "token"),
            VAULT_KV_MOUNT="kv/prod/",
            VAULT_NAMESPACE="ns1/",
            VAULT_SECRET_PATH="/teams/calls/agent",
            VAULT_FIELD_MAP="API_KEYS=k, JWT_SECRET=s",
        )
        (auth,) = load(AuthSettings)
    assert [key.get_secret_value() for key in auth.api_keys] == ["mapped"]
    assert auth.jwt_shared_secret is not None
    assert auth.jwt_shared_secret.get_secret_value() == MAPPED, "older names count too"
    assert auth.service_api_keys == ()


def test_what_is_set_here_is_never_overwritten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").write_text("from-a-file")
    (tmp_path / ".env").write_text("DATABASE_URL=from-dotenv\n")
    held = {"API_KEYS": "v", "SERVICE_API_KEYS": "v", "DATABASE_URL": "v"}
    with running_vault(secrets={"interview-agent": held}) as vault:
        point_at(vault, monkeypatch, API_KEYS="from-here", SERVICE_API_KEYS_FILE=str(tmp_path / "file"))
        auth, database = load(AuthSettings, DatabaseSettings)
    assert auth.api_keys[0].get_secret_value() == "from-here"
    assert auth.service_api_keys[0].get_secret_value() == "from-a-file"
    assert database.database_url is not None
    assert database.database_url.get_secret_value() == "from-dotenv"


@pytest.mark.parametrize(
    ("fields", "settings", "problem"),
    [
        ({}, {"VAULT_TOKEN": "hvs.wrong-token"}, "VAULT_TOKEN: the vault refuses the token"),
        ({}, {"VAULT_SECRET_PATH": "nothing"}, "VAULT_SECRET_PATH: the vault has no such secret"),
        ({"sealed": True}, {}, "VAULT_ADDR: the vault is sealed"),
        ({}, {"VAULT_KV_VERSION": "1"}, "VAULT_SECRET_PATH: the vault has no such secret"),
        ({"reply": b"<html>"}, {}, "VAULT_KV_VERSION: the vault's answer holds no secret"),
        ({"reply": b"[1]"}, {}, "VAULT_KV_VERSION: the vault's answer holds no secret"),
        ({"reply": b" " * 2_000_000}, {}, "VAULT_SECRET_PATH: the vault's answer is larger than 1 MiB"),
        ({"reply": b'{"data":{"data":{"api_keys":{"a":1}}}}'}, {}, "VAULT_SECRET_PATH: field 'api_keys'"),
        ({}, {"VAULT_FIELD_MAP": "API_KEYS=gone"}, "VAULT_FIELD_MAP: the secret has no field 'gone'"),
        ({}, {"VAULT_FIELD_MAP": "API_KEYS"}, "VAULT_FIELD_MAP: is not a list"),
        ({}, {"VAULT_ADDR": "vault:8200"}, "VAULT_ADDR: SECRETS_PROVIDER=vault needs an address"),
        ({}, {"VAULT_ADDR": "http://user:password@127.0.0.1:1"}, "VAULT_ADDR: the vault cannot be reached"),
        ({}, {"VAULT_TOKEN": ""}, "VAULT_TOKEN: SECRETS_PROVIDER=vault needs a token"),
        ({}, {"VAULT_SECRET_PATH": ""}, "VAULT_SECRET_PATH: SECRETS_PROVIDER=vault needs the path"),
        ({}, {"VAULT_CACERT": "/no/such.pem"}, "VAULT_CACERT: cannot read certificates"),
    ],
)
def test_what_is_wrong_is_one_line_and_shows_no_secret(
    fields: dict[str, Any], settings: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
):
    with running_vault(secrets={"interview-agent": FIELDS}, **fields) as vault:
        point_at(vault, monkeypatch, **settings)
        with pytest.raises(SettingsError) as caught:
            load(AuthSettings, DatabaseSettings, AuthSettings)
    (line,) = caught.value.problems
    assert line.startswith(problem)
    assert "\n" not in line
    for secret in (TOKEN, "wrong-token", "password", "user-key"):
        assert secret not in line
    assert len(vault.asked) <= 1, "a vault that fails is not asked again and again"


def test_a_vault_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("VAULT_TIMEOUT_SEC", "0.2")
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        point_at(VaultServer(url=url), monkeypatch)
        with pytest.raises(SettingsError, match=r"VAULT_ADDR: the vault did not answer within 0\.2 s"):
            load(AuthSettings)


def test_a_certificate_that_is_not_trusted_is_named_and_can_be_taken_for_good(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    tls, authority = server_certificate(tmp_path)
    with running_vault(tls, secrets={"interview-agent": FIELDS}) as vault:
        point_at(vault, monkeypatch)
        with pytest.raises(SettingsError, match=r"VAULT_ADDR: .*its certificate is not trusted: .*; see VAULT_CACERT"):
            load(AuthSettings)
        point_at(vault, monkeypatch, VAULT_CACERT=str(authority))
        assert load(AuthSettings)[0].api_keys
        point_at(vault, monkeypatch, VAULT_CACERT="", VAULT_SKIP_VERIFY="true")
        assert load(AuthSettings)[0].api_keys


def test_the_vaults_own_settings_do_not_come_from_the_vault(monkeypatch: pytest.MonkeyPatch):
    with running_vault(secrets={"interview-agent": {**FIELDS, "vault_namespace": "elsewhere"}}) as vault:
        point_at(vault, monkeypatch)
        load(AuthSettings)
        assert load(VaultSettings)[0].vault_namespace == ""
