"""Guardrails: a breach names figure, threshold and option; lite is a smaller load; each admin contour is looked at."""

import json
import sys
from pathlib import Path

import pytest

from tools import admin_contours, e2e_local, realtime_load_guardrail, ws_contours_guardrail
from tools.guardrail import Report, Threshold, figures_of, latencies


def test_a_breach_names_the_figure_the_threshold_and_the_option():
    report = Report("guardrail", {}, figures={"request_p95_ms": 812.0, "throughput_share": 0.5})
    report.judge(
        [
            Threshold("request_p95_ms", "--max-p95-ms", 750, "ms"),
            Threshold("throughput_share", "--min-throughput-share", 0.9, least=True),
            Threshold("text_p95_seconds", "--max-text-p95-seconds", 30, "s"),
        ]
    )
    assert report.breaches == [
        "request_p95_ms is 812 ms, above the threshold 750 ms (--max-p95-ms)",
        "throughput_share is 0.5, below the threshold 0.9 (--min-throughput-share)",
        "text_p95_seconds was not measured, so --max-text-p95-seconds 30 cannot be shown to hold",
    ]
    assert not report.ok


def test_the_report_holds_figures_thresholds_and_errors(tmp_path: Path):
    threshold = Threshold("error_rate", "--max-error-rate", 0.01)
    report = Report("guardrail", {"meetings": "2"}, figures={"error_rate": 0.0})
    report.fail("GET /v1/meetings/ID: 503")
    report.fail("GET /v1/meetings/ID: 503")
    report.judge([threshold])
    report.write(tmp_path / "reports" / "one.json", [threshold])
    written = json.loads((tmp_path / "reports" / "one.json").read_text())
    assert written["ok"] is True
    assert written["errors"] == {"GET /v1/meetings/ID: 503": 2}
    assert written["thresholds"][0]["option"] == "--max-error-rate"


def test_percentiles_of_nothing_are_no_figures():
    assert latencies([]) == {"count": 0}
    assert figures_of("request", []) == {}
    assert figures_of("request", [0.01, 0.02])["request_p99_ms"] == 20


@pytest.mark.parametrize("tool", [realtime_load_guardrail, ws_contours_guardrail])
def test_lite_is_a_smaller_load_with_wider_bounds_on_time(tool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["tool"])
    whole = tool.arguments()
    monkeypatch.setattr(sys, "argv", ["tool", "--lite", "--seconds", "4"])
    lite = tool.arguments()
    assert lite.meetings < whole.meetings
    assert lite.seconds == 4, "what stands after it counts more"
    for wide, narrow in zip(tool.thresholds(lite), tool.thresholds(whole), strict=True):
        assert wide.bound == (2 * narrow.bound if narrow.unit else narrow.bound), wide.option


@pytest.mark.parametrize("tool", [e2e_local, realtime_load_guardrail, ws_contours_guardrail])
def test_help_names_every_exit_status(tool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["tool", "--help"])
    with pytest.raises(SystemExit):
        tool.arguments()
    said = capsys.readouterr().out
    for words in ("Status 0", "1: ", "2: ", "--base-url", "--start"):
        assert words in said


@pytest.mark.parametrize("tool", [e2e_local, realtime_load_guardrail, ws_contours_guardrail])
def test_without_a_key_it_says_what_to_give(tool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for name in ("API_KEYS", "SERVICE_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENT_DATA_DIR", "nowhere")
    monkeypatch.setattr(sys, "argv", ["tool"])
    assert tool.main() == 2
    assert "--api-key is needed" in capsys.readouterr().err


def test_the_admin_contours_are_those_of_the_contract():
    found = set(admin_contours.contours())
    assert {("GET", "/v1/admin/queues/health"), ("POST", "/v1/admin/queues/{queue}/jobs/{job_id}/drop")} <= found
    assert all(path.startswith("/v1/admin/") for _, path in found)
