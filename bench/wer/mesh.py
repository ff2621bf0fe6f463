"""The whole way: a recording with a side per channel through every room, by `agent transcribe`."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

from bench.wer.call import Call
from examples.interview.interview import SAMPLE_RATE_HERTZ


def transcribe(call: Call) -> dict[str, str]:
    """Return the text of each side, of a mesh that is started for it.

    Raises:
        RuntimeError: the command failed; the message is its own.
    """
    Path("build").mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="wer-", dir="build")).absolute()
    # PostgreSQL runs as a user of its own.
    directory.chmod(0o711)
    try:
        return _transcribe(call, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _transcribe(call: Call, directory: Path) -> dict[str, str]:
    recording = _write(call, directory / "call.wav")
    done = subprocess.run(
        [sys.executable, "-m", "mesh", "transcribe", str(recording), "--language", call.language,
         "--stereo", "speakers", "--format", "json"],
        env={**os.environ, "AGENT_DATA_DIR": str(directory / "data"), "STT_PROVIDER": "demo"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"agent transcribe: {done.stderr.strip()}")
    said: dict[str, list[str]] = {f"Speaker {number}": [] for number in range(1, len(call.sides) + 1)}
    for segment in json.loads(done.stdout)["segments"]:
        said[segment["speaker"]].append(segment["text"])
    return {side.name: " ".join(texts) for side, texts in zip(call.sides, said.values(), strict=True)}


def _write(call: Call, path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(call.sides))
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HERTZ)
        file.writeframes(np.stack([side.pcm for side in call.sides], axis=1).astype("<i2").tobytes())
    return path
