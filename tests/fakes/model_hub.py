"""As much of the model hub's protocol as a download needs, on a free port, with our own model behind it."""

import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from services.stt.models import tiny_whisper_directory

MODEL = "somebody/small-model"
_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PIECES_PER_SECOND = 20


@contextmanager
def running_hub(*, bytes_per_second: int = 0, stall_after_bytes: int | None = None) -> Iterator[str]:
    """Serve for the block; gives the value of HF_ENDPOINT.

    Args:
        bytes_per_second: how slowly a file comes; 0 for at once.
        stall_after_bytes: where the model's weights stop coming, with the connection open; None for never.
    """
    released = threading.Event()

    class Hub(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            return

        def _answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            files = {
                file.name: file.read_bytes() for file in tiny_whisper_directory().iterdir() if file.suffix != ".py"
            }
            if path.startswith(f"/api/models/{MODEL}/tree/"):
                entries = [
                    {"type": "file", "path": name, "size": len(data), "oid": _digest(data)}
                    for name, data in files.items()
                ]
                self._send(json.dumps(entries).encode())
            elif path.startswith(f"/api/models/{MODEL}"):
                siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
                self._send(json.dumps({"id": MODEL, "sha": _COMMIT, "siblings": siblings}).encode())
            elif (name := path.rpartition("/")[2]) in files:
                self._send(files[name], ETag=f'"{_digest(files[name])}"', **{"X-Repo-Commit": _COMMIT})
            else:
                self.send_error(404)

        def _send(self, body: bytes, **headers: str) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                try:
                    self._send_slowly(body)
                except OSError:
                    self.close_connection = True  # the client did not wait

        def _send_slowly(self, body: bytes) -> None:
            step = max(1, bytes_per_second // _PIECES_PER_SECOND) if bytes_per_second else len(body) or 1
            for start in range(0, len(body), step):
                if stall_after_bytes is not None and start >= stall_after_bytes:
                    released.wait()
                    self.close_connection = True
                    return
                self.wfile.write(body[start : start + step])
                self.wfile.flush()
                if bytes_per_second:
                    time.sleep(1 / _PIECES_PER_SECOND)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _digest(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
