"""GRPC_TLS_*: when TLS is on, what must go together, and the rule of production."""

from pathlib import Path

import pytest

from kit.auth.production import refusals
from kit.settings import AuthSettings, CoreSettings, SettingsError, TlsSettings, load


@pytest.mark.parametrize(
    ("settings", "on"),
    [
        ({}, False),
        ({"GRPC_TLS_CA_FILE": "ca.pem"}, True),
        ({"GRPC_TLS_ENABLED": "true"}, True),
        ({"GRPC_TLS_ENABLED": "false", "GRPC_TLS_CERT_FILE": "c.pem"}, False),
        ({"GRPC_TLS_CERT_FILE": "c.pem", "GRPC_TLS_KEY_FILE": "k.pem", "GRPC_TLS_CA_FILE": "ca.pem"}, True),
        ({"GRPC_TLS_CERT_FILE": "c.pem", "GRPC_TLS_KEY_FILE": "k.pem", "GRPC_TLS_CLIENT_AUTH": "off"}, True),
    ],
)
def test_tls_is_on_when_files_are_named(settings: dict[str, str], on: bool, monkeypatch: pytest.MonkeyPatch):
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    (tls,) = load(TlsSettings)
    assert tls.on is on


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"GRPC_TLS_CERT_FILE": "c.pem", "GRPC_TLS_CA_FILE": "ca.pem"}, "GRPC_TLS_KEY_FILE: needed with"),
        ({"GRPC_TLS_KEY_FILE": "k.pem", "GRPC_TLS_CA_FILE": "ca.pem"}, "GRPC_TLS_CERT_FILE: needed with"),
        ({"GRPC_TLS_CERT_FILE": "c.pem", "GRPC_TLS_KEY_FILE": "k.pem"}, "GRPC_TLS_CA_FILE: needed with"),
    ],
)
def test_what_is_missing_is_named(settings: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch):
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=problem):
        load(TlsSettings)


def test_settings_of_another_process_take_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRPC_TLS_SERVER_NAME", "somebody")
    made = TlsSettings.naming(ca_file=Path("ca.pem"))
    assert (made.on, made.server_name, made.cert_file) == (True, "", None)
    assert not TlsSettings.naming(ca_file=None).on


def test_production_may_ask_for_tls(monkeypatch: pytest.MonkeyPatch):
    core = CoreSettings(app_env="prod")
    auth = AuthSettings(api_keys="k", service_api_keys="s", auth_require_jwt_in_prod=False)
    assert not refusals(auth, core)
    monkeypatch.setenv("GRPC_TLS_REQUIRE_IN_PROD", "true")
    [refused] = refusals(auth, core)
    assert refused.message.startswith("GRPC_TLS_CERT_FILE: needed when APP_ENV=prod and GRPC_TLS_REQUIRE_IN_PROD=true")
    monkeypatch.setenv("GRPC_TLS_CA_FILE", "ca.pem")
    assert not refusals(auth, core)
