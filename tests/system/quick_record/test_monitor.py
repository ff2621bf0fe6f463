"""Quick recording from a real sound server: what is played on a sink is what is recorded."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.audio import decoded
from tests.integration.quick_record.test_quick_record_meeting import RATE, SPEECH, command, heard, likeness, voice

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("pulseaudio") is None, reason="needs pulseaudio and pulseaudio-utils"),
]

SECONDS = 60.0


@contextmanager
def sound_server() -> Iterator[dict[str, str]]:
    """Run PulseAudio with one sink that nobody hears; yields the environment of its clients."""
    with tempfile.TemporaryDirectory(prefix="pulse-") as name:
        home = Path(name)
        environment = {**os.environ, "HOME": name, "XDG_RUNTIME_DIR": name, "PULSE_SERVER": f"unix:{home / 'socket'}"}
        server = subprocess.Popen(
            [
                "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
                "-L", "module-null-sink sink_name=loudspeaker",
                "-L", f"module-native-protocol-unix socket={home / 'socket'} auth-anonymous=1",
            ],
            env=environment,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            until(lambda: "loudspeaker.monitor" in sources(environment))
            yield environment
        finally:
            server.terminate()
            server.wait(timeout=10)


def sources(environment: dict[str, str]) -> str:
    return subprocess.run(
        command("--list-sources"), env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    ).stdout


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_the_loudspeaker_plays_is_recorded_and_its_silence_too(tmp_path: Path):
    _, meant = voice(tmp_path / "voice.wav", seconds=5)
    with sound_server() as environment:
        recording = subprocess.Popen(
            command(
                "--url", "https://meet.example.org", "--no-browser", "--duration-sec", "10", "--segment-sec", "2",
                "--overlap-sec", "0.5", "--output", str(tmp_path / "out"),
            ),
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            until(lambda: list((tmp_path / "out").glob("*/*.part")))
            pcm = b"".join(decoded(SPEECH))[: 5 * RATE * 2]
            play = ["pacat", "--raw", "--format=s16le", f"--rate={RATE}", "--channels=1", "-d", "loudspeaker"]
            subprocess.run(play, input=pcm, env=environment, timeout=SECONDS, check=True)
            told, _ = recording.communicate(timeout=SECONDS)
        finally:
            recording.kill()
    assert recording.returncode == 0
    found = heard(Path(told.strip()) / "recording.mp3")
    assert abs(len(found) / RATE - 10) < 0.2
    assert likeness(found, meant) > 0.9
