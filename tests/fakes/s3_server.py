"""An S3 server of the test's own, on a free port."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from kit.blobs import Bucket

KEY_ID, SECRET = "key-of-the-tests", "secret-of-the-tests"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server with one bucket."""

    endpoint: str
    bucket: str = "recordings"

    def place(self, **changes: Any) -> Bucket:
        """Return where the bucket is."""
        usual = {"endpoint": self.endpoint, "access_key_id": KEY_ID, "secret_access_key": SECRET, "prefix": "mesh/one"}
        return Bucket(changes.pop("name", self.bucket), **(usual | changes))

    def store(self) -> S3Store:
        """Return the whole bucket, without a prefix."""
        return S3Store(
            self.bucket,
            config={
                "endpoint": self.endpoint,
                "region": "us-east-1",
                "access_key_id": KEY_ID,
                "secret_access_key": SECRET,
            },
            client_options={"allow_http": True},
        )

    def uploads(self) -> int:
        """Return how many uploads in parts were begun and neither finished nor taken back."""
        answer = urlopen(Request(f"{self.endpoint}/{self.bucket}?uploads"), timeout=10).read().decode()
        return str(answer).count("<UploadId>")

    def drop_bucket(self) -> None:
        """Delete the bucket, which is empty."""
        urlopen(Request(f"{self.endpoint}/{self.bucket}", method="DELETE"), timeout=10).close()

    def check_keys(self) -> None:
        """Refuse everybody from now on: no key is known."""
        _post(f"{self.endpoint}/moto-api/reset-auth", b"0")

    def forget(self) -> None:
        """Know no bucket and let everybody in again: servers of one process share what they hold."""
        _post(f"{self.endpoint}/moto-api/reset-auth", b"1e12")
        _post(f"{self.endpoint}/moto-api/reset", b"")


@contextmanager
def serving_s3() -> Iterator[S3Server]:
    """Serve for the block."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    running = S3Server(f"http://{host}:{port}")
    try:
        urlopen(Request(f"{running.endpoint}/{running.bucket}", method="PUT"), timeout=10).close()
        yield running
    finally:
        running.forget()
        server.stop()


def _post(url: str, body: bytes) -> Any:
    with urlopen(Request(url, body, {"content-type": "text/plain"}, method="POST"), timeout=10) as answer:
        return json.loads(answer.read())
