"""REST: a recording in chunks to a finished report, with nothing but Python's own library.

    agent up                                                      # elsewhere; its keys are in keys.json
    python -m examples.clients.rest_client call.wav --key KEY

Each chunk is a small WAV with a number. A chunk may be sent again without harm, so the client repeats whatever was not
answered; 429 and 503 say in Retry-After when.
"""

import argparse
import io
import json
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHUNK_SECONDS = 20
TRIES = 8


class Api:
    """Calls of the REST API with a user's key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    def call(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> bytes:
        """Return the answer's body; what is refused for now is asked again.

        Raises:
            SystemExit: it is refused for good, with the problem's title and detail.
        """
        headers = {"X-API-Key": self._key, "Content-Type": content_type}
        request = urllib.request.Request(self._url + path, body, headers, method=method)
        for attempt in range(1, TRIES + 1):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503) or attempt == TRIES:
                    problem = json.loads(error.read())
                    raise SystemExit(f"{problem['title']}: {problem.get('detail', '')}") from None
                time.sleep(float(error.headers.get("Retry-After", 1)))
            except urllib.error.URLError:  # the gateway is not there, or went away in the middle
                if attempt == TRIES:
                    raise
                time.sleep(1)
        raise AssertionError

    def json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer as an object."""
        answer: dict[str, Any] = json.loads(
            self.call(method, path, None if body is None else json.dumps(body).encode())
        )
        return answer


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the recording in WAV files of CHUNK_SECONDS."""
    with wave.open(str(path)) as file:
        while samples := file.readframes(CHUNK_SECONDS * file.getframerate()):
            content = io.BytesIO()
            with wave.open(content, "wb") as chunk:
                chunk.setnchannels(file.getnchannels())
                chunk.setsampwidth(file.getsampwidth())
                chunk.setframerate(file.getframerate())
                chunk.writeframes(samples)
            yield content.getvalue()


def main(options: argparse.Namespace) -> None:
    """Send the recording, wait for the report, print it."""
    api = Api(options.url, options.key)
    meeting_id = api.json("POST", "/v1/meetings/start", {"title": options.file.name, "mode": "upload"})["meeting_id"]
    print(f"meeting {meeting_id}")
    for sequence, content in enumerate(chunks(options.file), 1):
        path = f"/v1/meetings/{meeting_id}/chunks?sequence={sequence}&participant_id=anna&display_name=Anna"
        stored = json.loads(api.call("POST", path, content, "audio/wav"))
        print(f"chunk {sequence}: on the server's disk up to {stored['end_ms'] / 1000:.1f} s")
    api.json("POST", f"/v1/meetings/{meeting_id}/finish", {})
    meeting = {"state": "", "report_state": ""}
    while meeting["state"] != "failed" and meeting["report_state"] not in ("ready", "failed"):
        time.sleep(0.5)
        meeting = api.json("GET", f"/v1/meetings/{meeting_id}")
    print(meeting["raw_transcript"])
    print(api.call("GET", f"/v1/meetings/{meeting_id}/report/text").decode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.clients.rest_client", description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, help="a WAV file")
    parser.add_argument("--key", required=True, help="a user key")
    parser.add_argument("--url", default="http://127.0.0.1:8010", help="address of the gateway")
    main(parser.parse_args())
