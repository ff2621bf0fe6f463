"""A transcription service with OpenAI's interface on a free port: it checks what it is sent, and follows a script."""

import http.server
import io
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from typing import Any

import av

KEY = "a-key-of-the-service"


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request is answered."""

    status: int = 200
    body: Any = None
    """A value becomes JSON, bytes stay as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_seconds: float = 0.0
    bytes_per_second: int = 0
    """How slowly it comes; 0 for at once."""


_WRONG_KEY = Reply(401, {"error": {"message": "no", "code": "invalid_api_key"}})


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request held."""

    path: str
    fields: dict[str, list[str]]
    file_name: str
    audio_seconds: float


@dataclass(slots=True)
class TranscriptionService:
    """The running service: the next replies of its script, then the last one again and again."""

    url: str
    script: list[Reply]
    models: Sequence[str] | None = ("whisper-1",)
    """What it lists; None for a service that has no such list."""
    asked: list[Asked] = field(default_factory=list)
    most_at_a_time: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_reply(self) -> Reply:
        """Take the next reply."""
        with self._lock:
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request under way."""
        with self._lock:
            self._now += 1
            self.most_at_a_time = max(self.most_at_a_time, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1


def words_reply(text: str, *, language: str = "english", probability: float = 0.9) -> Reply:
    """Return a whole `verbose_json` answer: a third of a second per word."""
    words = [{"word": word, "start": number / 3, "end": (number + 1) / 3} for number, word in enumerate(text.split())]
    segment = {
        "id": 0,
        "start": 0.0,
        "end": len(words) / 3,
        "text": f" {text}",
        "avg_logprob": -0.1,
        "no_speech_prob": 1 - probability,
        "compression_ratio": 1.1,
    }
    answer = {"task": "transcribe", "language": language, "duration": 2.0, "text": text, "words": words}
    return Reply(body=answer | {"segments": [segment]})


@contextmanager
def running_service(*script: Reply) -> Iterator[TranscriptionService]:
    """Serve for the block."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with service.counted():
                self._answer(self._reply(body))

        def do_GET(self) -> None:
            if self.headers["Authorization"] != f"Bearer {KEY}":
                self._answer(_WRONG_KEY)
            elif not self.path.endswith("/v1/models") or service.models is None:
                self._answer(Reply(404, b"not here"))
            else:
                listed = [{"id": name, "object": "model", "owned_by": "us"} for name in service.models]
                self._answer(Reply(body={"object": "list", "data": listed}))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            return

        def _reply(self, body: bytes) -> Reply:
            if self.headers["Authorization"] != f"Bearer {KEY}":
                return _WRONG_KEY
            if not self.path.endswith("/v1/audio/transcriptions"):
                return Reply(404, b"not here")
            service.asked.append(_asked(self.path, self.headers["Content-Type"], body))
            return service.next_reply()

        def _answer(self, reply: Reply) -> None:
            time.sleep(reply.after_seconds)
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                step = len(body) if not reply.bytes_per_second else max(1, reply.bytes_per_second // 20)
                for start in range(0, len(body), step or 1):
                    self.wfile.write(body[start : start + step])
                    self.wfile.flush()
                    time.sleep(0.05 if reply.bytes_per_second else 0)
            except OSError:
                self.close_connection = True  # the client did not wait

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = TranscriptionService(f"http://127.0.0.1:{server.server_port}/v1", list(script))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _asked(path: str, content_type: str, body: bytes) -> Asked:
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=HTTP)
    fields: dict[str, list[str]] = {}
    file_name, seconds = "", 0.0
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = str(part.get_param("name", header="content-disposition"))
        if name == "file":
            file_name, seconds = str(part.get_filename()), _seconds(content)
        else:
            fields.setdefault(name, []).append(content.decode())
    return Asked(path, fields, file_name, seconds)


def _seconds(file: bytes) -> float:
    with av.open(io.BytesIO(file), "r") as container:
        return float(sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0)))
