"""A real call through every room: WebRTC in, words, coverage and report out."""

import json
from pathlib import Path

import pytest

from kit.lifecycle import Shutdown
from mesh.demo.run import run_demo


@pytest.mark.timeout(240)
@pytest.mark.parametrize("language", ["en", "ru"])
async def test_a_call_becomes_a_transcript_and_a_report(tmp_path: Path, language: str):
    await run_demo(Shutdown(), language, tmp_path, seconds=30)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {p["language"] for p in summary["participants"]} == {language}
    assert summary["engine"] == "demo"
    assert set(summary["processes"]) == {"connector", "gateway", "ingest", "report", "stt"}
    for participant in summary["participants"]:
        assert participant["coverage_ms"]["transcribed"] > 0
        assert sum(participant["coverage_ms"].values()) == round(1000 * summary["call_seconds"])
    assert (tmp_path / "report.md").read_text().strip()
    assert json.loads((tmp_path / "transcript.json").read_text())
