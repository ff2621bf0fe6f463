"""The transcription endpoint with OpenAI's own client, the real speech room and its demonstration model."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from kit.lifecycle import Shutdown
from services.stt.app import open_stt
from services.stt.settings import SttSettings
from tests.integration.gateway.scripted import USER, USER_KEY, Mesh, api_keys, running_mesh

SPEECH = Path(__file__).parents[2] / "data" / "speech"
FILE = SPEECH / "en-2.flac"
SAID = {"worked", "python", "five", "years"}
URL = "/v1/audio/transcriptions"


@asynccontextmanager
async def speaking_mesh(**settings: Any) -> AsyncIterator[Mesh]:
    asked: dict[str, Any] = {"provider": "demo", "threads": 2, "listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"}
    async with (
        open_stt(SttSettings(**asked, **settings), api_keys(), Shutdown()) as stt,
        running_mesh(elsewhere={"stt": stt.server.address}) as mesh,
    ):
        yield mesh


def client(mesh: Mesh, key: str = USER_KEY) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=key, base_url=f"{mesh.url}/v1", max_retries=0, timeout=30)


def words(text: str) -> set[str]:
    return {word.strip(".,").lower() for word in text.split()}


async def test_the_client_of_others_gets_every_shape_of_answer():
    async with speaking_mesh() as mesh, client(mesh) as api:
        create: Any = api.audio.transcriptions.create

        async def ask(shape: str, **more: Any) -> Any:
            return await create(model="whisper-1", file=FILE, language="en", response_format=shape, **more)

        plain = await ask("json", temperature=0.2, prompt="python, years")
        assert words(plain.text) >= SAID
        verbose = await ask("verbose_json", timestamp_granularities=["word", "segment"])
        assert (verbose.task, verbose.language, verbose.text) == ("transcribe", "english", plain.text)
        assert 2.0 < float(verbose.duration) < 3.5
        assert {word.word.strip(".").lower() for word in verbose.words} >= SAID
        assert all(0 <= word.start <= word.end <= float(verbose.duration) for word in verbose.words)
        [segment] = verbose.segments
        assert segment.start < segment.end
        assert segment.avg_logprob <= 0
        assert words(await ask("text")) >= SAID
        assert (await ask("srt")).startswith("1\n00:00:0")
        assert (await ask("vtt")).startswith("WEBVTT\n\n00:00:0")
        only = await ask("verbose_json")
        assert only.words is None
        assert only.segments


async def test_refusals_are_errors_of_their_client():
    async with speaking_mesh() as mesh, client(mesh) as api, client(mesh, "guess") as stranger:
        with pytest.raises(openai.AuthenticationError) as unknown:
            await stranger.audio.transcriptions.create(model="whisper-1", file=FILE)
        assert unknown.value.code == "invalid_api_key"
        with pytest.raises(openai.BadRequestError) as broken:
            await api.audio.transcriptions.create(model="whisper-1", file=("a.mp3", b"no sound" * 100))
        assert (broken.value.param, broken.value.code) == ("file", "audio_undecodable")
        with pytest.raises(openai.BadRequestError) as language:
            await api.audio.transcriptions.create(model="whisper-1", file=FILE, language="xx")
        assert language.value.code == "language_unknown"
        with pytest.raises(openai.BadRequestError) as granular:
            await api.audio.transcriptions.create(model="whisper-1", file=FILE, timestamp_granularities=["word"])
        assert granular.value.param == "timestamp_granularities[]"


async def test_what_is_no_upload_is_refused_in_their_shape():
    async with speaking_mesh(max_file_minutes=0) as mesh:

        async def error(status: int, **request: Any) -> dict[str, Any]:
            response = await mesh.http.post(URL, **request)
            assert response.status_code == status, response.text
            assert response.headers["x-trace-id"]
            found: dict[str, Any] = response.json()["error"]
            assert set(found) == {"message", "type", "param", "code"}
            return found

        file = {"file": ("a.flac", FILE.read_bytes())}
        assert (await error(415, json={}))["code"] == "unsupported_media_type"
        assert (await error(400, files={"file": (None, "text")}))["param"] == "file"
        assert (await error(400, files=file, data={"response_format": "pdf"}))["param"] == "response_format"
        assert (await error(400, files=file, data={"colour": "red"}))["param"] == "colour"
        assert (await error(401, files=file, headers={"x-api-key": ""}))["type"] == "invalid_request_error"
        assert (await error(400, files=file))["code"] == "engine_unavailable"


async def test_a_room_that_is_away_and_a_file_that_is_too_large():
    async with running_mesh(transcription_max_bytes=10_000) as mesh:
        small, large = ({"file": ("a.flac", size)} for size in (FILE.read_bytes()[:9_000], b"x" * 10_001))
        response = await mesh.http.post(URL, files=large)
        assert (response.status_code, response.json()["error"]["code"]) == (413, "file_too_large")
        response = await mesh.http.post(URL, files=small)
        assert response.status_code == 501, "the scripted room does not recognise"
        assert response.json()["error"]["type"] == "server_error"


async def test_who_hangs_up_ends_the_work():
    async with speaking_mesh() as mesh, httpx2.AsyncClient(base_url=mesh.url, headers=USER) as http:
        long = {"file": ("a.flac", (SPEECH.parents[2] / "examples/interview/en/alice.flac").read_bytes())}
        with pytest.raises(httpx2.ReadTimeout):
            await http.post(URL, files=long, timeout=httpx2.Timeout(30, read=0.5))
        async with asyncio.timeout(20):
            response = await mesh.http.post(URL, files={"file": ("a.flac", FILE.read_bytes())}, timeout=20)
        assert words(response.json()["text"]) >= SAID
