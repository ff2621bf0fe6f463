"""The example clients as their head comments say to run them, against a mesh as people start it."""

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.examples.running import CLIENTS, RunningMesh, running_mesh, start, write_sample
from tests.e2e.mesh.test_command import check_words, children
from tests.kit_server import eventually

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def mesh() -> Iterator[RunningMesh]:
    with running_mesh() as running:
        yield running


def _said(output: str) -> str:
    """Return what Anna's lines say."""
    return " ".join(re.findall(r"^(?:\[[\d:]+\] )?Anna: (.+)$", output, re.MULTILINE))


async def test_the_grpc_client_prints_words_as_they_come_and_survives_the_room(mesh: RunningMesh, tmp_path: Path):
    sample = write_sample(tmp_path / "call.wav")
    client = await start(
        sys.executable, "-m", "examples.clients.stream_wav", str(sample),
        "--key", mesh.key, "--target", mesh.ingest, "--speed", "3",
    )  # fmt: skip
    await eventually(lambda: bool(_said(client.output)) or client.process.returncode is not None, 60)
    os.kill(children(mesh.data)["ingest"], signal.SIGKILL)
    output = await client.ended()
    assert "... going on with message" in output, output
    check_words(_said(output))


async def test_the_rest_client_gets_a_report(mesh: RunningMesh, tmp_path: Path):
    sample = write_sample(tmp_path / "call.wav")
    client = await start(
        sys.executable, "-m", "examples.clients.rest_client", str(sample), "--key", mesh.key, "--url", mesh.url
    )
    output = await client.ended()
    assert "chunk 1: on the server's disk up to 20.0 s" in output
    check_words(_said(output.partition("====")[0]))


async def test_the_curl_session(mesh: RunningMesh, tmp_path: Path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    sample = write_sample(tmp_path / "call.wav")
    output = await (await start("sh", str(CLIENTS / "curl.sh"), str(sample), KEY=mesh.key, URL=mesh.url)).ended()
    assert re.search(r"^00:00:0\d,\d{3} --> ", output, re.MULTILINE), output
    assert '"tombstone"' in output
    check_words(" ".join(re.findall(r"-->.*\n(.+)", output)))


async def test_the_grpcurl_session(mesh: RunningMesh, tmp_path: Path):
    if shutil.which("grpcurl") is None:
        pytest.skip("grpcurl is not installed, and no Debian package has it")
    sample = write_sample(tmp_path / "call.wav")
    output = await (
        await start("sh", str(CLIENTS / "grpcurl.sh"), str(sample), KEY=mesh.key, TARGET=mesh.ingest)
    ).ended()
    assert "agent.ingest.v1.MeetingService" in output
    assert "ERROR_REASON_MEETING_NOT_FOUND" in output
    check_words(" ".join(re.findall(r'"text": "(.+)"', output)))


def test_each_says_how_to_run_it():
    files = [path for path in CLIENTS.iterdir() if path.suffix in (".py", ".sh", ".html") and path.stem != "__init__"]
    assert len(files) == 5
    for path in files:
        head = path.read_text(encoding="utf-8")[:1000]
        assert "agent up" in head, path
        assert path.stem in head, path
