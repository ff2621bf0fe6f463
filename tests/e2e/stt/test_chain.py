"""A transcription service that breaks down in the middle of a meeting: the next engine goes on, and all is told."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest

from agent.common.v1.transcript_pb2 import Segment
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from services.stt.models import tiny_whisper_directory
from tests.data.speech.sentences import sentences, silence
from tests.e2e.mesh.test_command import agent, data
from tests.e2e.stt.test_paths import gateway, started
from tests.fakes.transcription_service import KEY, Reply, running_service, words_reply
from tests.kit_server import eventually

__all__ = ["data"]  # the fixture
_SECONDS = 40.0
_MOST_SENTENCES = 30
_SERVICE, _OURS = ("openai_http", "whisper-1"), ("faster_whisper", "a-local-model")


@pytest.mark.timeout(120)
async def test_a_meeting_whose_engine_fails_goes_on_with_the_next_and_comes_back(data: Path):
    model = data.parent / _OURS[1]
    shutil.copytree(tiny_whisper_directory(), model, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    warm_up, broken = Reply(body={"text": ""}), Reply(500, b"")
    with running_service(warm_up, words_reply("Before."), broken, words_reply("Back.")) as service:
        variables = {
            "STT_PROVIDER": "openai_http,faster_whisper",
            "STT_MODEL": str(model),
            "STT_OPENAI_ATTEMPTS": "1",
            "STT_BREAKER_FAILURES": "1",
            "STT_BREAKER_REST_SECONDS": "1",
            "OPENAI_BASE_URL": service.url,
            "OPENAI_API_KEY": KEY,
            "WHISPER_RATE_PER_MIN_USD": "0.6",
        }
        async with agent(data, "up", "--free-ports", **variables) as up:
            await up.says("^ready: http")
            book = json.loads((data / "mesh.json").read_text())
            async with gateway(book) as http:
                meeting_id = await started(http, "en", "upload")
                async with watched(book, meeting_id) as events:
                    said = [await say(http, meeting_id, events, 1)]
                    assert await breaker(book) == "closed"
                    said.append(await say(http, meeting_id, events, 2))
                    assert await breaker(book) == "open"
                    while said[-1].engine != _SERVICE[0]:  # until its rest is over
                        assert len(said) < _MOST_SENTENCES
                        said.append(await say(http, meeting_id, events, len(said) + 1))
                    assert await breaker(book) == "closed"
                    await send(http, meeting_id, len(said) + 1, last=True)
                report, text = await reported(http, meeting_id)
    asked = ["Before.", *[sentences("en")[0].text] * (len(said) - 2), "Back."]
    assert [one.text for one in said] == asked
    engines = [(one.engine, one.model) for one in said]
    assert engines == [_SERVICE, *[_OURS] * (len(said) - 2), _SERVICE]
    made = report["provenance"]
    assert made["speech_engines"] == ["/".join(_OURS), "/".join(_SERVICE)]
    answered = [service.asked[number].audio_seconds for number in (1, 3)]
    assert made["speech_cost_usd"] == pytest.approx(sum(answered) / 60 * 0.6, rel=0.01)
    assert f"USD, {'/'.join(_OURS)}, {'/'.join(_SERVICE)}." in text


@asynccontextmanager
async def watched(book: Mapping[str, str], meeting_id: str) -> AsyncIterator[Any]:
    """What happens in a meeting, from its beginning."""
    async with open_channel(book["ingest"], api_key=book["user_key"]) as channel:
        stub: Any = MeetingServiceStub(channel)
        events = stub.WatchMeeting(meetings.WatchMeetingRequest(meeting_id=meeting_id))
        with held(events):
            yield events


async def say(http: httpx2.AsyncClient, meeting_id: str, events: Any, number: int) -> Segment:
    """Say the first sentence and wait for its text."""
    await send(http, meeting_id, number)
    async with asyncio.timeout(_SECONDS):
        while (event := await events.read()) is not grpc.aio.EOF:
            if event.HasField("segment"):
                segment: Segment = event.segment
                return segment
    raise AssertionError("the meeting ended")


async def send(http: httpx2.AsyncClient, meeting_id: str, number: int, *, last: bool = False) -> None:
    """Send the first sentence, or nothing but silence in the end, as one chunk."""
    pcm = silence(0.5) if last else np.concatenate([silence(0.5), sentences("en")[0].pcm, silence(1.0)])
    body = {
        "content": base64.b64encode(pcm.astype("<i2").tobytes()).decode(),
        "encoding": "s16le",
        "sequence": number,
        "language": "en",
        "last": last,
    }
    (await http.post(f"/v1/meetings/{meeting_id}/chunks", json=body)).raise_for_status()


async def breaker(book: Mapping[str, str]) -> str:
    """The state of the service's breaker as operators see it."""
    async with open_channel(book["stt"], api_key=book["service_key"]) as channel:
        stub: Any = OpsServiceStub(channel)
        with held(stub.Watch(ops.WatchRequest())) as call:
            async with asyncio.timeout(_SECONDS):
                snapshot: ops.WatchResponse = await call.read()
    [state] = [one.state for one in snapshot.breakers if one.name == "stt.openai_http"]
    return state


async def reported(http: httpx2.AsyncClient, meeting_id: str) -> tuple[dict[str, Any], str]:
    """The report as JSON and as text, when it is there."""

    async def ready() -> bool:
        return (await http.get(f"/v1/meetings/{meeting_id}/report")).is_success

    await eventually(ready, _SECONDS)
    report: dict[str, Any] = (await http.get(f"/v1/meetings/{meeting_id}/report")).json()["report"]
    return report, (await http.get(f"/v1/meetings/{meeting_id}/report/text")).text
