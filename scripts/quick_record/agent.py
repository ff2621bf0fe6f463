"""The agent's pipeline: start, chunk by chunk, report. What was sent is noted, so that a second run goes on."""

import base64
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np

from scripts.quick_record.assembly import joined
from scripts.quick_record.folder import REPORT, Folder
from scripts.quick_record.source import SAMPLE_RATE_HERTZ

CHUNK_SECONDS = 30
REPORT_SECONDS = 1800.0
_TRIES = 6
_CALL_SECONDS = 60.0
_POLL_SECONDS = 2.0
_SPEAKER = "meeting"


class AgentRefused(Exception):
    """The agent does not take the recording, or does not answer; the message says why."""


class Agent:
    """The agent's REST interface; calls are tried again while it is busy or away."""

    def __init__(self, url: str, api_key: str) -> None:
        headers = {"X-API-Key": api_key} if api_key else {}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=_CALL_SECONDS)
        self._url = url

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, method: str, path: str, **content: Any) -> httpx2.Response:
        """Make a call and return its answer.

        Raises:
            AgentRefused: it was refused, or nobody answers.
        """
        why = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(min(0.5 * 2**attempt, 10.0))
            try:
                answer = self._http.request(method, path, **content)
            except httpx2.HTTPError as error:
                why = f"{self._url} does not answer ({type(error).__name__})"
                continue
            if answer.is_success or (answer.status_code < 500 and answer.status_code != 429):
                return answer
            why = f"{self._url} answers {answer.status_code}"
        raise AgentRefused(why)

    def expect(self, method: str, path: str, **content: Any) -> Any:
        """Make a call and return its JSON.

        Raises:
            AgentRefused: as above.
        """
        answer = self.call(method, path, **content)
        if not answer.is_success:
            raise AgentRefused(f"{method} {path}: {answer.status_code} {_detail(answer)}")
        return answer.json()


def upload(folder: Folder, agent: Agent) -> None:
    """Bring a recording to the agent and its report into the folder; what is done already is not done again.

    Raises:
        AgentRefused: the agent refuses, or its report takes too long.
    """
    note = folder.note
    if not note.meeting_id:
        wished = {
            "title": note.title,
            "mode": "upload",
            "language": note.language,
            "request_id": f"quick-record-{note.request_id}",
        }
        folder.keep(meeting_id=agent.expect("POST", "/v1/meetings/start", json=wished)["meeting_id"])
    meeting_id = folder.note.meeting_id
    state = agent.expect("GET", f"/v1/meetings/{meeting_id}")["state"]
    if state not in ("finishing", "finished"):
        _send(folder, agent, meeting_id)
    _fetch_report(folder, agent, meeting_id)


def _send(folder: Folder, agent: Agent, meeting_id: str) -> None:
    """Send every chunk under its number: one that came before is acknowledged, and not stored twice."""
    held: bytes | None = None
    number = 0
    for piece in _chunks(folder):
        if held is not None:
            number += 1
            _put(agent, meeting_id, number, held, last=False)
        held = piece
    if held is not None:
        _put(agent, meeting_id, number + 1, held, last=True)


def _put(agent: Agent, meeting_id: str, number: int, pcm: bytes, *, last: bool) -> None:
    chunk = {
        "content": base64.b64encode(pcm).decode(),
        "encoding": "s16le",
        "sample_rate_hertz": SAMPLE_RATE_HERTZ,
        "sequence": number,
        "participant_id": _SPEAKER,
        "basis": "SPEAKER_BASIS_GUESS",
        "last": last,
    }
    agent.expect("POST", f"/v1/meetings/{meeting_id}/chunks", json=chunk)


def _chunks(folder: Folder) -> Iterator[bytes]:
    size = CHUNK_SECONDS * SAMPLE_RATE_HERTZ * 2
    held = bytearray()
    for block in joined(folder):
        held += np.ascontiguousarray(block, "<i2").tobytes()
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)


def _fetch_report(folder: Folder, agent: Agent, meeting_id: str) -> None:
    deadline = time.monotonic() + REPORT_SECONDS
    while True:
        answer = agent.call("GET", f"/v1/meetings/{meeting_id}/report/text")
        if answer.is_success:
            break
        if not _not_ready(answer):
            raise AgentRefused(f"the report: {answer.status_code} {_detail(answer)}")
        if time.monotonic() > deadline:
            raise AgentRefused("the report is not there yet; run again with --resume to fetch it")
        time.sleep(_POLL_SECONDS)
    (folder.path / REPORT).write_text(_text(answer), encoding="utf-8")
    folder.keep(reported=True)


def _text(answer: httpx2.Response) -> str:
    if "json" in answer.headers.get("content-type", ""):
        return str(answer.json().get("text", ""))
    return answer.text


def _not_ready(answer: httpx2.Response) -> bool:
    try:
        return answer.json().get("reason") == "ERROR_REASON_REPORT_NOT_READY" and "retry-after" in answer.headers
    except ValueError:
        return False


def _detail(answer: httpx2.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return answer.reason_phrase
    return str(problem.get("detail") or problem.get("title") or answer.reason_phrase)
