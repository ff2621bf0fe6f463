"""`make test-compose`: the container stack, used as a stranger would use it.

Builds the images, brings the stack up, sends a recording through REST, restarts two rooms in the middle of it,
waits for the report, takes everything down. Exits 0 only when the words are there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from io import BytesIO
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
ENV_FILE = ROOT / "build" / "compose.env"
URL = "http://127.0.0.1:8010"
USER_KEY = "compose-user-key"
ENV = {
    "APP_ENV": "dev",
    "AUTH_MODE": "api_key",
    "API_KEYS": USER_KEY,
    "SERVICE_API_KEYS": "compose-service-key",
    "STT_PROVIDER": "demo",
}
SECONDS = 40
CHUNK_SECONDS = 10
READY_SECONDS = 240
REPORT_SECONDS = 120


def main() -> int:
    """Run the smoke test; the exit status is its result."""
    os.environ |= {"COMPOSE_PROJECT_NAME": "agent-smoke", "AGENT_ENV_FILE": str(ENV_FILE), **postgres_image()}
    compose = compose_command()
    ENV_FILE.parent.mkdir(exist_ok=True)
    ENV_FILE.write_text("".join(f"{name}={value}\n" for name, value in ENV.items()))
    try:
        run([*compose, "up", "-d", "--build"])
        wait_until_healthy()
        meeting = send_a_call(compose)
        words = wait_for_report(meeting)
        print(f"compose: {words} words and a report after two restarts in the middle of the call")
    except (subprocess.CalledProcessError, TimeoutError, urllib.error.URLError) as error:
        print(f"compose: {error}", file=sys.stderr)
        subprocess.run([*compose, "ps"], cwd=ROOT, check=False)
        subprocess.run([*compose, "logs", "--tail=40"], cwd=ROOT, check=False)
        return 1
    finally:
        subprocess.run([*compose, "down", "-v"], cwd=ROOT, check=False)
    return 0


def compose_command() -> list[str]:
    """`docker compose` where there is version 2, `docker-compose` where there is version 1."""
    if shutil.which("docker") and not subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    ).returncode:  # fmt: skip
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    sys.exit("docker is missing: install Docker with its compose plugin")


def postgres_image() -> dict[str, str]:
    """Any PostgreSQL image that is here already saves a download."""
    listing = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "postgres"]
    found = subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split()
    return {} if not found or "POSTGRES_IMAGE" in os.environ else {"POSTGRES_IMAGE": found[0]}


def send_a_call(compose: list[str]) -> str:
    """Send the sample interview's first voice in chunks, restarting rooms on the way; return the meeting."""
    meeting = str(
        request("POST", "/v1/meetings/start", {"title": "compose", "mode": "upload", "language": "en"})["meeting_id"]
    )
    chunks = sample_chunks()
    for number, chunk in enumerate(chunks, start=1):
        if number == 2:
            run([*compose, "restart", "stt"])
        if number == 3:
            run([*compose, "kill", "-s", "SIGKILL", "ingest"])
            run([*compose, "up", "-d", "ingest"])
        last = "true" if number == len(chunks) else "false"
        path = f"/v1/meetings/{meeting}/chunks?sequence={number}&last={last}&participant_id=speaker-1"
        patiently(path, chunk)
    return meeting


def sample_chunks() -> list[bytes]:
    """The first seconds of the sample interview's first voice as WAV files."""
    sys.path.insert(0, str(ROOT))
    from examples.interview.interview import load

    interview = load("en")
    pcm = np.asarray(next(iter(interview.tracks.values())))[: SECONDS * 16_000]
    pieces = []
    for start in range(0, len(pcm), CHUNK_SECONDS * 16_000):
        buffer = BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(pcm[start : start + CHUNK_SECONDS * 16_000].astype("<i2").tobytes())
        pieces.append(buffer.getvalue())
    return pieces


def patiently(path: str, chunk: bytes) -> None:
    """Send one chunk until it is acknowledged; a repeated sequence number does no harm."""
    deadline = time.monotonic() + 90
    while True:
        try:
            request("POST", path, chunk)
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def wait_until_healthy() -> None:
    """Wait until the gateway says that every room serves."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if request("GET", "/health")["status"] == "ok":
                return
        except (urllib.error.URLError, ConnectionError, json.JSONDecodeError):
            pass
        time.sleep(1)
    raise TimeoutError(f"not every room was healthy after {READY_SECONDS} s")


def wait_for_report(meeting: str) -> int:
    """Wait for the report; return the number of words of the transcript."""
    deadline = time.monotonic() + REPORT_SECONDS
    while time.monotonic() < deadline:
        found = request("GET", f"/v1/meetings/{meeting}")
        if found.get("report") and found.get("enhanced_transcript"):
            words = len(str(found["raw_transcript"]).split())
            if words < 10:
                raise TimeoutError(f"only {words} words came through")
            return words
        time.sleep(1)
    raise TimeoutError(f"no report after {REPORT_SECONDS} s")


def request(method: str, path: str, body: dict[str, object] | bytes | None = None) -> dict[str, object]:
    """One HTTP request with the user key; the answer is a JSON object."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    kind = "audio/wav" if isinstance(body, bytes) else "application/json"
    call = urllib.request.Request(URL + path, data, {"X-API-Key": USER_KEY, "Content-Type": kind}, method=method)
    with urllib.request.urlopen(call, timeout=60) as answer:
        found: dict[str, object] = json.load(answer)
    return found


def run(command: list[str]) -> None:
    """Run one command of docker; its output goes to the terminal."""
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
