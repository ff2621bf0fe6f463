"""Quick recording through the agent: start, chunks, report, and the report in the mail."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from mesh.mesh import open_mesh
from tests.integration.connector.harness import lasting_port
from tests.integration.quick_record.test_quick_record_meeting import RATE, SPEECH, command, heard

BUILD = Path(__file__).resolve().parents[3] / "build"
SECONDS = 120.0


class Inbox(Message):
    """Keeps what is delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[bytes] = []

    def handle_message(self, message: object) -> None:
        self.messages.append(bytes(message))  # type: ignore[call-overload]


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may pass through, which pytest's are not."""
    BUILD.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="quick-", dir=BUILD))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.timeout(240)
async def test_a_recording_goes_through_the_agent_and_its_report_is_mailed(data: Path, tmp_path: Path):
    inbox = Inbox()
    port = lasting_port()
    mail = Controller(inbox, hostname="127.0.0.1", port=port)
    mail.start()
    try:
        async with open_mesh(data, free_ports=True, environment={"STT_PROVIDER": "demo"}) as mesh:
            arguments = [
                "--url", "https://meet.example.org/standup", "--input", str(SPEECH), "--duration-sec", "40",
                "--output", str(tmp_path), "--language", "en", "--upload-to-agent", "--agent-url", mesh.url,
                "--agent-api-key", mesh.keys.user, "--email-to", "me@example.org",
            ]  # fmt: skip
            done = await run(*arguments, port=port)
            assert done.returncode == 0, done.stderr
            folder = Path(done.stdout.strip())
            again = await run("--resume", str(folder), *arguments[10:], port=1)
            assert again.returncode == 0, "all of it is done: nobody is asked again"
    finally:
        mail.stop()
    note = json.loads((folder / "recording.json").read_text())
    assert note["meeting_id"]
    assert abs(len(heard(folder / "recording.mp3")) / RATE - 40) < 0.2
    report = (folder / "report.txt").read_text()
    assert "meet.example.org" in report
    (message,) = inbox.messages
    letter = message_from_bytes(message, policy=default)
    assert letter["To"] == "me@example.org"
    assert letter["Subject"] == "Recording: meet.example.org"
    assert report.splitlines()[0] in letter.get_body().get_content()  # type: ignore[union-attr]
    assert [part.get_filename() for part in letter.iter_attachments()] == ["report.txt"]


async def run(*arguments: str, port: int) -> subprocess.CompletedProcess[str]:
    variables = {
        "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_TLS": "off", "SMTP_FROM": "recorder@example.org"
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **variables},
    )
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    return subprocess.CompletedProcess(list(arguments), process.returncode or 0, out.decode(), err.decode())
