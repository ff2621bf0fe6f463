"""Settings: where values come from, and what a wrong one says."""

from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from kit.auth.authenticator import ApiKeys, Everybody, make_authenticator
from kit.settings import (
    Address,
    AuthSettings,
    CoreSettings,
    RpcSettings,
    SecretList,
    Section,
    SettingsError,
    TelemetrySettings,
    describe,
    load,
)


class EarSettings(Section):
    """Hearing.

    More words that are no title.
    """

    model_config = SettingsConfigDict(env_prefix="EAR_")

    backlog: int = 4
    """How many utterances may wait."""
    keys: SecretList = ()
    """Secrets."""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for section in (EarSettings, CoreSettings, AuthSettings, RpcSettings, TelemetrySettings):
        for field in section.model_fields:
            monkeypatch.delenv(section.variable(field), raising=False)


def test_the_environment_wins_over_a_named_file_over_dotenv_over_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert load(EarSettings)[0].backlog == 4
    (tmp_path / ".env").write_text("EAR_BACKLOG=5\nSOMETHING_ELSE=1\n")
    assert load(EarSettings)[0].backlog == 5
    (tmp_path / "backlog").write_text("6\n")
    monkeypatch.setenv("EAR_BACKLOG_FILE", str(tmp_path / "backlog"))
    assert load(EarSettings)[0].backlog == 6
    monkeypatch.setenv("EAR_BACKLOG", "7")
    assert load(EarSettings)[0].backlog == 7


def test_dotenv_may_name_the_file_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a, b,,\n")
    (tmp_path / ".env").write_text(f"EAR_KEYS_FILE={tmp_path / 'keys'}\n")
    (ear,) = load(EarSettings)
    assert [key.get_secret_value() for key in ear.keys] == ["a", "b"]
    assert "a" not in repr(ear.keys[0])


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAR_BACKLOG", "")
    assert load(EarSettings)[0].backlog == 4


def test_every_problem_is_one_line_that_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAR_BACKLOG", "many")
    monkeypatch.setenv("EAR_KEYS_FILE", "/nowhere/keys")
    monkeypatch.setenv("APP_ENV", "moon")
    monkeypatch.setenv("GRPC_GRACE_SECONDS", "-1")
    with pytest.raises(SettingsError) as caught:
        load(EarSettings, CoreSettings, RpcSettings)
    assert caught.value.problems == (
        "EAR_KEYS_FILE: cannot read /nowhere/keys (No such file or directory)",
        "APP_ENV: input should be 'dev', 'local', 'test', 'stage' or 'prod' (got 'moon')",
        "GRPC_GRACE_SECONDS: input should be greater than 0 (got '-1')",
    )
    monkeypatch.delenv("EAR_KEYS_FILE")
    with pytest.raises(SettingsError, match=r"EAR_BACKLOG: .* \(got 'many'\)"):
        load(EarSettings)


@pytest.mark.parametrize("wrong", ["nonsense", ":8021", "host:", "host:70000", "host:80 ", "unix:/run/agent.sock"])
def test_an_address_that_cannot_be_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    class Listening(Section):
        """A server."""

        listen: Address = "127.0.0.1:0"

    monkeypatch.setenv("LISTEN", wrong)
    with pytest.raises(SettingsError, match=r"^LISTEN: not an address"):
        load(Listening)
    for right in ("127.0.0.1:8021", "[::1]:8021", "ingest:0"):
        monkeypatch.setenv("LISTEN", right)
        assert load(Listening)[0].listen == right


def test_a_wrong_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "same-secret")
    monkeypatch.setenv("SERVICE_API_KEYS", "same-secret")
    with pytest.raises(SettingsError) as caught:
        load(AuthSettings)
    assert caught.value.problems[0].startswith("API_KEYS: ")
    assert "same-secret" not in str(caught.value)


def test_local_is_another_word_for_dev(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "local")
    (core,) = load(CoreSettings)
    assert core.app_env == "dev"
    assert not core.fail_fast
    monkeypatch.setenv("APP_ENV", "prod")
    assert load(CoreSettings)[0].fail_fast


def test_the_minimal_installation_is_four_variables(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "APP_ENV=dev\nAUTH_MODE=api_key\nAPI_KEYS=dev-user-key\nSERVICE_API_KEYS=dev-service-key\n"
    )
    core, auth, _, _ = load(CoreSettings, AuthSettings, RpcSettings, TelemetrySettings)
    assert isinstance(make_authenticator(auth, core), ApiKeys)
    assert auth.outgoing_key == "dev-service-key"


def test_api_key_mode_without_keys_would_lock_everybody_out() -> None:
    with pytest.raises(SettingsError, match="API_KEYS: AUTH_MODE=api_key needs at least one key"):
        load(AuthSettings)


def test_modes_that_are_not_available_or_not_safe_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_MODE", "jwt")
    with pytest.raises(SettingsError, match="AUTH_MODE: jwt is not available in this release"):
        make_authenticator(*load(AuthSettings, CoreSettings))
    monkeypatch.setenv("AUTH_MODE", "none")
    assert isinstance(make_authenticator(*load(AuthSettings, CoreSettings)), Everybody)
    monkeypatch.setenv("APP_ENV", "prod")
    with pytest.raises(SettingsError, match="AUTH_MODE: none is refused when APP_ENV=prod"):
        make_authenticator(*load(AuthSettings, CoreSettings))


def test_sections_describe_their_variables() -> None:
    backlog, keys = describe([EarSettings])
    assert (backlog.name, backlog.section, backlog.default) == ("EAR_BACKLOG", "Hearing.", "4")
    assert backlog.description == "How many utterances may wait."
    assert keys.secret
    mode = next(variable for variable in describe([AuthSettings]) if variable.name == "AUTH_MODE")
    assert (mode.default, mode.choices) == ("api_key", ("none", "api_key", "jwt"))
    otel = next(variable for variable in describe([TelemetrySettings]) if variable.name == "OTEL_ENABLED")
    assert (otel.default, otel.choices) == ("false", ("true", "false"))
    assert all(variable.description for variable in describe([CoreSettings, AuthSettings, RpcSettings]))


def test_a_section_cannot_be_changed() -> None:
    (ear,) = load(EarSettings)
    with pytest.raises(ValueError, match="frozen"):
        ear.backlog = 9  # type: ignore[misc]
