"""Settings: where values come from, and what a wrong one says."""

from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from kit.auth.authenticator import ApiKeys, Everybody, Tokens, make_authenticator
from kit.errors import Unauthenticated
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

SECRET = "a-secret-of-thirty-two-characters"


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
            for variable in section.variables(field):
                monkeypatch.delenv(variable, raising=False)


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


def test_tokens_need_somebody_to_sign_them_and_rooms_a_way_to_know_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_MODE", "jwt")
    with pytest.raises(SettingsError, match="OIDC_ISSUER_URL: AUTH_MODE=jwt needs"):
        load(AuthSettings)
    monkeypatch.setenv("JWT_SECRET_KEY", "short")
    with pytest.raises(SettingsError, match="MESH_SHARED_SECRET: AUTH_MODE=jwt needs it"):
        load(AuthSettings)
    monkeypatch.setenv("MESH_SHARED_SECRET", SECRET)
    with pytest.raises(SettingsError, match="JWT_SHARED_SECRET: needs at least 32 characters"):
        load(AuthSettings)
    monkeypatch.setenv("JWT_SECRET", SECRET)
    with pytest.raises(SettingsError, match="MESH_SHARED_SECRET: must not be JWT_SHARED_SECRET"):
        load(AuthSettings)
    monkeypatch.setenv("JWT_SHARED_SECRET", SECRET.upper())
    assert isinstance(make_authenticator(*load(AuthSettings, CoreSettings)), Tokens)
    for wrong in ("none", "HS256", "RS256,HS512", "rs256"):
        monkeypatch.setenv("OIDC_ALGORITHMS", wrong)
        with pytest.raises(SettingsError, match="OIDC_ALGORITHMS: takes RS256"):
            load(AuthSettings)


def test_an_older_name_counts_until_the_name_itself_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("API_KEYS", "key")

    def secret() -> str:
        (auth,) = load(AuthSettings)
        return auth.jwt_shared_secret.get_secret_value() if auth.jwt_shared_secret else ""

    (tmp_path / "older").write_text(f"{SECRET}-file")
    (tmp_path / ".env").write_text(f"JWT_SECRET_KEY={SECRET}-dotenv-older\n")
    assert secret() == f"{SECRET}-dotenv-older"
    (tmp_path / ".env").write_text(f"JWT_SECRET_KEY={SECRET}-dotenv-older\nJWT_SHARED_SECRET={SECRET}-dotenv\n")
    assert secret() == f"{SECRET}-dotenv"
    monkeypatch.setenv("JWT_SECRET_FILE", str(tmp_path / "older"))
    assert secret() == f"{SECRET}-file"
    monkeypatch.setenv("JWT_SECRET_KEY", f"{SECRET}-older")
    assert secret() == f"{SECRET}-older"
    monkeypatch.setenv("JWT_SHARED_SECRET", f"{SECRET}-itself")
    assert secret() == f"{SECRET}-itself"


def test_a_key_can_only_be_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_KEYS", "operator, both")
    monkeypatch.setenv("SERVICE_READ_API_KEYS", "viewer, both")
    with pytest.raises(SettingsError, match=r"SERVICE_API_KEYS: a key stands in both .* and SERVICE_READ_API_KEYS"):
        load(AuthSettings)


def test_an_open_door_is_for_desks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_MODE", "none")
    assert isinstance(make_authenticator(*load(AuthSettings, CoreSettings)), Everybody)
    monkeypatch.setenv("APP_ENV", "prod")
    for fails_fast in ("true", "false"):
        monkeypatch.setenv("READINESS_FAIL_FAST_IN_PROD", fails_fast)
        with pytest.raises(SettingsError, match="AUTH_MODE: none is refused when APP_ENV=prod"):
            make_authenticator(*load(AuthSettings, CoreSettings))


PROD = {"APP_ENV": "prod", "AUTH_MODE": "jwt", "OIDC_ISSUER_URL": "https://id.example.com", "OIDC_AUDIENCE": "agent"}


@pytest.mark.parametrize(
    ("changes", "checks"),
    [
        ({"AUTH_MODE": "api_key"}, ["auth_mode"]),
        ({"SERVICE_API_KEYS": "key", "MESH_SHARED_SECRET": ""}, ["mesh_shared_secret"]),
        ({"OIDC_AUDIENCE": ""}, ["oidc_audience"]),
        ({"OIDC_ISSUER_URL": "http://id.example.com"}, ["oidc_issuer_url"]),
        ({"OIDC_JWKS_URL": "http://id.example.com/keys", "OIDC_AUDIENCE": ""}, ["oidc_audience", "oidc_jwks_url"]),
    ],
)
async def test_production_rules_are_checks_that_end_the_start_or_keep_a_room_from_serving(
    changes: dict[str, str], checks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**PROD, "MESH_SHARED_SECRET": SECRET, "API_KEYS": "person", **changes}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        make_authenticator(*load(AuthSettings, CoreSettings))
    assert [problem.partition(":")[0].lower() for problem in caught.value.problems] == checks
    monkeypatch.setenv("READINESS_FAIL_FAST_IN_PROD", "false")
    failed = [check for check in await make_authenticator(*load(AuthSettings, CoreSettings)).checks() if not check.ok]
    assert [check.name for check in failed] == checks
    assert all(check.critical and check.message for check in failed)


async def test_production_with_everything_it_needs_starts_and_takes_no_service_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {**PROD, "MESH_SHARED_SECRET": SECRET, "SERVICE_API_KEYS": "key"}.items():
        monkeypatch.setenv(name, value)
    auth = make_authenticator(*load(AuthSettings, CoreSettings))
    with pytest.raises(Unauthenticated):
        await auth.authenticate({"x-api-key": "key"})
    monkeypatch.setenv("AUTH_MODE", "api_key")
    monkeypatch.setenv("AUTH_REQUIRE_JWT_IN_PROD", "false")
    keys = make_authenticator(*load(AuthSettings, CoreSettings))
    assert (await keys.authenticate({"x-api-key": "key"})).kind == "service", "the way out that the message names"


async def test_keys_of_people_name_no_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEYS", "user")
    monkeypatch.setenv("SERVICE_API_KEYS", "service")
    monkeypatch.setenv("TENANT_ENFORCEMENT_ENABLED", "true")
    core, settings = load(CoreSettings, AuthSettings)
    auth = make_authenticator(settings, core)
    with pytest.raises(Unauthenticated, match="name no tenant"):
        await auth.authenticate({"x-api-key": "user"})
    assert (await auth.authenticate({"x-api-key": "service"})).kind == "service"
    assert settings.tenant_context == "tenant_id"


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
