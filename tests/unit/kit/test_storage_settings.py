"""Settings of the blob store: modes, the older name, what goes together."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from kit.settings import SettingsError, StorageSettings, load


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    for name in StorageSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({}, "local_fs"),
        ({"STORAGE_BACKEND": "local"}, "local_fs"),
        ({"STORAGE_BACKEND": "s3", "STORAGE_S3_BUCKET": "b"}, "s3"),
        ({"STORAGE_BACKEND": "local", "STORAGE_MODE": "shared_fs"}, "shared_fs"),
        ({"STORAGE_BACKEND": "s3", "STORAGE_MODE": "s3", "STORAGE_S3_BUCKET": "b"}, "s3"),
    ],
)
def test_the_older_name_means_the_same(environment: pytest.MonkeyPatch, given: dict[str, str], mode: str) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    (settings,) = load(StorageSettings)
    assert settings.storage_mode == mode


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"STORAGE_BACKEND": "s3", "STORAGE_MODE": "shared_fs"},
            "STORAGE_BACKEND: s3 contradicts STORAGE_MODE=shared_fs",
        ),
        ({"STORAGE_MODE": "s3"}, "STORAGE_S3_BUCKET: "),
        ({"STORAGE_MODE": "s3", "STORAGE_S3_BUCKET": "b", "STORAGE_S3_ACCESS_KEY_ID": "k"}, "go together"),
        (
            {"STORAGE_MODE": "s3", "STORAGE_S3_BUCKET": "b", "STORAGE_S3_ENDPOINT": "minio:9000"},
            "STORAGE_S3_ENDPOINT: ",
        ),
        ({"STORAGE_MODE": "s3", "STORAGE_S3_BUCKET": "b", "STORAGE_S3_PREFIX": "/a/"}, "STORAGE_S3_PREFIX: "),
    ],
)
def test_what_cannot_work_is_said(environment: pytest.MonkeyPatch, given: dict[str, str], problem: str) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load(StorageSettings)
    assert any(problem in line for line in refused.value.problems)


def test_the_secret_may_stand_in_a_file_and_is_not_shown(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("do-not-show\n")
    environment.setenv("STORAGE_MODE", "s3")
    environment.setenv("STORAGE_S3_BUCKET", "b")
    environment.setenv("STORAGE_S3_ACCESS_KEY_ID", "k")
    environment.setenv("STORAGE_S3_SECRET_ACCESS_KEY_FILE", str(tmp_path / "secret"))
    (settings,) = load(StorageSettings)
    assert settings.storage_s3_secret_access_key is not None
    assert settings.storage_s3_secret_access_key.get_secret_value() == "do-not-show"
    assert "do-not-show" not in repr(settings)


def test_one_machines_directory_is_refused_in_production_when_asked(environment: pytest.MonkeyPatch) -> None:
    strict = StorageSettings(storage_require_shared_in_prod=True)
    assert strict.refusal(is_prod=True)
    assert not strict.refusal(is_prod=False)
    assert not StorageSettings().refusal(is_prod=True)
    assert not StorageSettings(storage_mode="shared_fs", storage_require_shared_in_prod=True).refusal(is_prod=True)


def test_settings_are_frozen(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        StorageSettings().storage_mode = "s3"  # type: ignore[misc]
