"""SBERJAZZ_*: what is wrong is said at the start, what is missing switches the provider off with a hint."""

from pathlib import Path

import pytest

from kit.settings import SettingsError, load
from services.connector.providers import sberjazz, sberjazz_mock
from services.connector.providers.sberjazz import SberJazzSettings, what_to_set
from services.connector.providers.sberjazz_mock import SberJazzMockSettings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("APP_ENV", "SBERJAZZ_API_BASE", "SBERJAZZ_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_without_address_and_token_the_provider_is_off_and_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert what_to_set(load(SberJazzSettings)[0]) == "set SBERJAZZ_API_BASE and SBERJAZZ_API_TOKEN"
    monkeypatch.setenv("SBERJAZZ_API_BASE", "http://jazz.example.org/api/")
    monkeypatch.setenv("SBERJAZZ_API_TOKEN", "secret")
    (settings,) = load(SberJazzSettings)
    assert what_to_set(settings) == ""
    assert settings.connecting.base == "http://jazz.example.org/api"
    assert "secret" not in repr(settings) + repr(settings.connecting)


def test_the_token_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file\n")
    monkeypatch.setenv("SBERJAZZ_API_TOKEN_FILE", str(tmp_path / "token"))
    assert load(SberJazzSettings)[0].connecting.token == "from a file"


def test_production_wants_https_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "prod")
    monkeypatch.setenv("SBERJAZZ_API_BASE", "http://jazz.example.org")
    monkeypatch.setenv("SBERJAZZ_API_TOKEN", "secret")
    assert "https://" in what_to_set(load(SberJazzSettings)[0])
    monkeypatch.setenv("SBERJAZZ_REQUIRE_HTTPS_IN_PROD", "false")
    assert what_to_set(load(SberJazzSettings)[0]) == ""
    assert "APP_ENV=prod" in sberjazz_mock.what_to_set(load(SberJazzMockSettings)[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SBERJAZZ_API_BASE", "jazz.example.org"),
        ("SBERJAZZ_API_BASE", "https://user:password@jazz.example.org"),
        ("SBERJAZZ_API_BASE", "https://jazz.example.org/?key=1"),
        ("SBERJAZZ_HTTP_RETRY_STATUSES", "429,oops"),
        ("SBERJAZZ_HTTP_RETRY_STATUSES", "200"),
        ("SBERJAZZ_HTTP_RETRIES", "-1"),
    ],
)
def test_a_wrong_value_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load(SberJazzSettings)


def test_a_fault_that_does_not_exist_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBERJAZZ_MOCK_FAULTS", "429:2:live-pull,earthquake")
    with pytest.raises(SettingsError, match="SBERJAZZ_MOCK_FAULTS: there is no fault 'earthquake'"):
        load(SberJazzMockSettings)


def test_both_names_are_in_the_register() -> None:
    assert (sberjazz.KIND.name, sberjazz_mock.KIND.name) == ("sberjazz", "sberjazz_mock")
