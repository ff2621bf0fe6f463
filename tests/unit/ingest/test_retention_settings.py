"""Settings of retention: JSON by tenant, and what is wrong with it."""

from pathlib import Path

import pytest

from kit.settings import SettingsError, load
from services.ingest.settings import RetentionSettings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_nothing_is_erased_unless_asked(environment: pytest.MonkeyPatch) -> None:
    (settings,) = load(RetentionSettings)
    assert (settings.audio_days, settings.text_days, settings.tenants) == (0, 0, {})


def test_tenants_have_days_of_their_own(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RETENTION_AUDIO_DAYS", "30")
    environment.setenv("RETENTION_TENANTS", '{"acme": {"audio_days": 7, "text_days": 90}, "keeps": {"audio_days": 0}}')
    (settings,) = load(RetentionSettings)
    assert settings.tenant_audio_days == {"acme": 7, "keeps": 0}
    assert settings.tenant_text_days == {"acme": 90}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("acme=7", "is not JSON"),
        ('{"acme": {"days": 7}}', "RETENTION_TENANTS"),
        ('{"acme": {"audio_days": -1}}', "RETENTION_TENANTS"),
        ("[1]", "RETENTION_TENANTS"),
    ],
)
def test_what_is_wrong_is_said(environment: pytest.MonkeyPatch, value: str, problem: str) -> None:
    environment.setenv("RETENTION_TENANTS", value)
    with pytest.raises(SettingsError) as refused:
        load(RetentionSettings)
    assert problem in refused.value.problems[0]
    assert refused.value.problems[0].startswith("RETENTION_TENANTS: ")
