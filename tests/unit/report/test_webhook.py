"""The webhook's settings, the name of its receiver, the report in numbers."""

import pytest
from pydantic import ValidationError

from services.report.settings import ReportSettings
from services.report.webhook import target_of, totals
from tests.integration.report.receiver import SECRET

URL = "https://hooks.example.org/in?token=secret-token"


def test_it_is_off_unless_an_address_is_set() -> None:
    assert ReportSettings().webhook is None
    options = ReportSettings(webhook_url=URL, webhook_secret=SECRET).webhook
    assert options is not None
    assert (options.url, options.include_report) == (URL, False)


@pytest.mark.parametrize("url", ["ftp://example.org", "file:///etc/passwd", "https://", "http://h:99999/", "nowhere"])
def test_only_web_addresses_are_taken(url: str) -> None:
    with pytest.raises(ValidationError, match="is not an http or https address"):
        ReportSettings(webhook_url=url, webhook_secret=SECRET)


@pytest.mark.parametrize("secret", ["whsec_c2hvcnQ=", "not base64!"])
def test_a_weak_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValidationError, match="24 to 64 bytes") as caught:
        ReportSettings(webhook_url=URL, webhook_secret=secret)
    assert secret not in str(caught.value)


def test_an_address_without_a_secret_is_refused() -> None:
    with pytest.raises(ValidationError, match="REPORT_WEBHOOK_SECRET: REPORT_WEBHOOK_URL needs"):
        ReportSettings(webhook_url=URL)


def test_a_receivers_name_tells_nothing_secret_and_each_address_has_its_own() -> None:
    name = target_of("https://user:password@hooks.example.org:8443/T00/B00?token=secret-token")
    assert name.startswith("https://hooks.example.org:8443#")
    assert not any(secret in name for secret in ("user", "password", "T00", "token"))
    assert target_of("https://hooks.example.org/1") != target_of("https://hooks.example.org/2")
    assert target_of("http://[::1]:80/").startswith("http://[::1]:80#")


def test_an_empty_report_has_totals_too() -> None:
    assert totals({})["duration_ms"] == 0
    assert totals({"coverage": [{"coverageMs": {"silent": 2}}, {"coverageMs": {"silent": 3}}]})["coverage_ms"] == {
        "silent": 5
    }
