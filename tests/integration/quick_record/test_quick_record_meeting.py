"""scripts/quick_record_meeting.py as people run it: to the end, killed in the middle, stopped with Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mesh.audio import decoded

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "quick_record_meeting.py"
SPEECH = ROOT / "examples" / "interview" / "en" / "alice.flac"
RATE = 16_000
SECONDS = 90.0

Sound = NDArray[np.float64]


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(SCRIPT), *arguments]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, **environment},
    )


def voice(path: Path, seconds: int = 20) -> tuple[Path, Sound]:
    """Write the beginning of a speaker's track as a file; returns it and its samples."""
    pcm = b"".join(decoded(SPEECH))[: seconds * RATE * 2]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm)
    return path, np.frombuffer(pcm, "<i2").astype(np.float64)


def heard(mp3: Path) -> Sound:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(mp3)) as container:
        frames = [*container.decode(audio=0), None]
        pieces = [piece.to_ndarray().reshape(-1) for frame in frames for piece in resampler.resample(frame)]
    return np.concatenate(pieces).astype(np.float64)


def likeness(one: Sound, other: Sound) -> float:
    """The correlation of two sounds at the place where they are most alike; 1 for the same."""
    size = len(one) + len(other)
    found = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size).max()
    return float(found / np.sqrt((one**2).sum() * (other**2).sum()))


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def segments_in(output: Path, count: int) -> Path:
    """Wait until a recording has so many complete segments; returns its folder."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for folder in output.glob("*"):
            if len(list(folder.glob("*.wav"))) >= count:
                return folder
        time.sleep(0.05)
    raise AssertionError(f"no recording with {count} segments")


def test_a_recording_is_one_mp3_that_sounds_like_its_source(tmp_path: Path):
    file, meant = voice(tmp_path / "voice.wav")
    done = run(
        "--url", "https://meet.example.org/a?pwd=1234", "--input", str(file), "--segment-sec", "3",
        "--overlap-sec", "1", "--duration-sec", "17", "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert len(list(folder.glob("take-01-segment-*.wav"))) == 6
    found = heard(folder / "recording.mp3")
    assert abs(len(found) / RATE - 17) < 0.2
    assert likeness(found, meant[: 17 * RATE]) > 0.97
    assert "1234" not in (folder / "recording.json").read_text(), "the link's password is nobody's business"


def test_a_killed_run_loses_at_most_the_segment_that_was_being_written(tmp_path: Path):
    file, meant = voice(tmp_path / "voice.wav")
    output = tmp_path / "out"
    recording = started(
        "--url", "https://meet.example.org", "--input", str(file), "--pace", "1", "--segment-sec", "1",
        "--output", str(output), "--overlap-sec", "0.3",
    )  # fmt: skip
    try:
        folder = segments_in(output, 3)
    finally:
        recording.kill()
        recording.communicate()
    whole = len(list(folder.glob("*.wav")))
    done = run("--resume", str(folder))
    assert done.returncode == 0, done.stderr
    found = heard(folder / "recording.mp3")
    assert whole <= len(found) / RATE + 0.05 <= whole + 1.2
    assert likeness(found, meant[: len(found)]) > 0.97
    more = run("--resume", str(folder), "--go-on", "--input", str(file), "--duration-sec", "2")
    assert more.returncode == 0, more.stderr
    longer = heard(folder / "recording.mp3")
    assert len(longer) > len(found) + 2 * RATE, "the time between is part of it"
    assert likeness(longer[-int(2.2 * RATE) :], meant[: 2 * RATE]) > 0.9


def test_ctrl_c_stops_cleanly(tmp_path: Path):
    file, meant = voice(tmp_path / "voice.wav")
    output = tmp_path / "out"
    recording = started(
        "--url", "https://meet.example.org", "--input", str(file), "--pace", "2", "--segment-sec", "1",
        "--output", str(output), "--overlap-sec", "0.2",
    )  # fmt: skip
    try:
        segments_in(output, 2)
        recording.send_signal(signal.SIGINT)
        told, _ = recording.communicate(timeout=SECONDS)
    finally:
        recording.kill()
    assert recording.returncode == 0
    folder = Path(told.strip())
    assert not list(folder.glob("*.part"))
    found = heard(folder / "recording.mp3")
    assert likeness(found, meant[: len(found)]) > 0.97


def test_a_wrong_command_says_what_is_missing(tmp_path: Path):
    assert "--url is needed" in run().stderr
    assert "no folder" in run("--resume", str(tmp_path / "nowhere")).stderr
    assert "SMTP_HOST" in run("--url", "https://x", "--email-to", "a@example.org", SMTP_HOST="").stderr
    nothing = run("--url", "https://x", "--no-browser", "--output", str(tmp_path / "out"), PATH=str(tmp_path))
    assert nothing.returncode == 1
    assert "parec" in nothing.stderr
    taught = run("--help").stdout
    assert all(flag in taught for flag in ("--duration-sec", "--transcribe", "--upload-to-agent", "--agent-api-key"))
