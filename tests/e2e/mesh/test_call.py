"""A real call through every room: WebRTC in, words, coverage and report out."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parents[3] / "build"
SECONDS = 30


@pytest.fixture
def output() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may pass through, which pytest's are not."""
    BUILD.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="call-", dir=BUILD))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.timeout(180)
@pytest.mark.realtime
@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_call_becomes_a_transcript_and_a_report(output: Path, language: str):
    options = ["--language", language, "--output", str(output), "--seconds", str(SECONDS)]
    done = subprocess.run([sys.executable, "-m", "mesh", "demo", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr  # 1 when the call is not sound
    assert "Every second accounted for" in done.stdout
    summary = json.loads((output / "summary.json").read_text())
    assert summary["engine"] == "demo"
    assert set(summary["processes"]) == {"connector", "gateway", "ingest", "report", "stt"}
    assert summary["claims"]["total"] > 0
    assert len(summary["participants"]) == 2
    for participant in summary["participants"]:
        assert participant["language"] == language
        assert participant["wer"] < 0.1
        assert participant["coverage_ms"]["transcribed"] > 0
        assert participant["coverage_ms"]["lost"] == 0
        assert sum(participant["coverage_ms"].values()) == round(1000 * summary["call_seconds"])
    transcript = json.loads((output / "transcript.json").read_text())
    report = json.loads((output / "report.json").read_text())["report"]
    assert transcript
    assert report["meeting_id"]
    assert report["headline"] in (output / "report.md").read_text()
