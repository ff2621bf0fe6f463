"""The same sentences through every door of one mesh: the same text, and every word at its time.

Stream and recording at the speech room, a file by `agent transcribe`, chunks over REST, and a call over WebRTC.
"""

import asyncio
import base64
import json
import time
import wave
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import httpx2
import pytest
from google.protobuf.json_format import ParseDict

from agent.common.v1.transcript_pb2 import Segment
from agent.connector.v1 import connector_service_pb2 as connector
from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceStub
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from agent.stt.v1 import stt_service_pb2 as pb
from agent.stt.v1.stt_service_pb2_grpc import SpeechServiceStub
from examples.callers.caller import open_caller
from examples.callers.speech import speech_from_samples
from examples.interview.words import normalise
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from services.stt.audio import Pcm
from tests.data.speech.sentences import SAMPLE_RATE_HERTZ, Sentence, noise, sentences, track
from tests.e2e.mesh.test_command import agent, data, run_agent

__all__ = ["data"]  # the fixture
_LANGUAGES = ("en", "ru")
_PAUSE_SECONDS = 1.0
_SECONDS = 40.0
_WITHIN_MS = 200.0
_WITHIN_SHARE = 0.9
"""Of the beginnings and ends of words in a call, both languages together: Opus cuts its frames anew in every one, and
our model may then misplace a few edges inside a sentence (`docs/engines.md`). Where a sentence begins and ends is told
by the voice: that holds in every call. Where the sound is the same every time, every word does."""
_PIECE_BYTES = 3_200
_CHUNK_SECONDS = 2.0


@pytest.mark.timeout(180)
@pytest.mark.realtime
async def test_every_path_gives_the_same_words_at_their_times(data: Path):
    async with agent(data, "up", "--free-ports") as up:
        await up.says("^ready: http")
        book = json.loads((data / "mesh.json").read_text())
        for language in _LANGUAGES:
            pcm = track(sentences(language), pause_seconds=_PAUSE_SECONDS)
            check("stream", language, await by_stream(book, pcm, language))
            check("recording", language, await by_recording(book, pcm, language))
            check("file", language, await by_command(data, pcm, language))
            check("chunks", language, await by_chunks(book, pcm, language))
        calls = await by_call(book)
        errors = [error for language in calls for error in check("call", language, calls[language], live=True)]
        assert len(_wrong(errors)) <= (1 - _WITHIN_SHARE) * len(errors), _wrong(errors)
        assert await by_chunks(book, noise(6.0, amplitude=900.0), "en") == []


def check(path: str, language: str, segments: Sequence[Any], *, live: bool = False) -> list[tuple[str, float]]:
    """Check text and times of what one path gave for the sentences of a language.

    Returns:
        Each word with the error of its beginning and of its end, in milliseconds; checked already unless `live`.
    """
    spoken = sentences(language)
    assert [segment.text for segment in segments] == [sentence.text for sentence in spoken], path
    said = list(said_words(spoken))
    heard = [
        (word.text.strip(",.?"), float(word.start_ms), float(word.end_ms))
        for segment in segments
        for word in segment.words
    ]
    assert [word for word, _, _ in heard] == [word for word, _, _ in said], path
    # Caller and recorder of a call start their clocks apart: its words are compared among themselves.
    late = median(one[1] - other[1] for one, other in zip(heard, said, strict=True)) if live else 0.0
    errors = [
        (word, moment - late - other)
        for (word, *times), (_, *true) in zip(heard, said, strict=True)
        for moment, other in zip(times, true, strict=True)
    ]
    if live:
        outer = [
            (segment.text, edge - late - true)
            for segment, (start, end) in zip(segments, said_sentences(spoken), strict=True)
            for edge, true in ((segment.words[0].start_ms, start), (segment.end_ms, end))
        ]
        assert all(abs(error) <= _WITHIN_MS for _, error in outer), (path, outer)
    else:
        assert not _wrong(errors), (path, _wrong(errors))
    return errors


def _wrong(errors: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(word, error) for word, error in errors if abs(error) > _WITHIN_MS]


def said_sentences(spoken: Sequence[Sentence]) -> Iterator[tuple[float, float]]:
    """Each sentence's start and end on the track, in milliseconds."""
    words = said_words(spoken)
    for sentence in spoken:
        times = [next(words) for _ in sentence.words]
        yield times[0][1], times[-1][2]


def said_words(spoken: Sequence[Sentence]) -> Iterator[tuple[str, float, float]]:
    """Each word with its start and end on the track, in milliseconds."""
    began = _PAUSE_SECONDS
    for sentence in spoken:
        for word in sentence.words:
            yield word.text, 1_000 * (began + word.start_seconds), 1_000 * (began + word.end_seconds)
        began += len(sentence.pcm) / SAMPLE_RATE_HERTZ + _PAUSE_SECONDS


async def by_stream(book: Mapping[str, str], pcm: Pcm, language: str) -> list[pb.Final]:
    """The live way; its interims grow towards the finals."""
    finals: list[pb.Final] = []
    async with (
        open_channel(book["stt"], api_key=book["service_key"]) as channel,
        asyncio.timeout(_SECONDS),
    ):
        stub: Any = SpeechServiceStub(channel)
        with held(stub.StreamingRecognize()) as call:

            async def say() -> None:
                await call.write(pb.StreamingRecognizeRequest(open=pb.RecognizeOpen(language=language, interim=True)))
                content = pcm.astype("<i2").tobytes()
                for start in range(0, len(content), _PIECE_BYTES):
                    audio = pb.SpeechAudio(start_sample=start // 2, pcm=content[start : start + _PIECE_BYTES])
                    await call.write(pb.StreamingRecognizeRequest(audio=audio))
                await call.write(pb.StreamingRecognizeRequest(end=pb.SpeechEnd()))

            saying = asyncio.create_task(say())
            stable: dict[int, str] = {}
            while (message := await call.read()) is not grpc.aio.EOF:
                if message.HasField("interim"):
                    stable[message.interim.start_sample] = message.interim.stable_text
                if message.HasField("final"):
                    finals.append(message.final)
                    assert normalise(message.final.text).startswith(
                        normalise(stable.get(message.final.start_sample, ""))
                    )
            await saying
    return finals


async def by_recording(book: Mapping[str, str], pcm: Pcm, language: str) -> list[pb.Final]:
    """A whole recording at once."""
    finals: list[pb.Final] = []
    async with (
        open_channel(book["stt"], api_key=book["service_key"]) as channel,
        asyncio.timeout(_SECONDS),
    ):
        stub: Any = SpeechServiceStub(channel)
        with held(stub.Recognize()) as call:
            await call.write(pb.RecognizeRequest(open=pb.RecordingOpen(language=language)))
            await call.write(pb.RecognizeRequest(pcm=pcm.astype("<i2").tobytes()))
            await call.write(pb.RecognizeRequest(end=pb.SpeechEnd()))
            while (message := await call.read()) is not grpc.aio.EOF:
                if message.HasField("final"):
                    finals.append(message.final)
    return finals


async def by_command(data: Path, pcm: Pcm, language: str) -> list[Segment]:
    """`agent transcribe`; the file's words are taken from its JSON."""
    path = data.parent / f"{language}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HERTZ)
        file.writeframes(pcm.astype("<i2").tobytes())
    ended = await run_agent(data, "transcribe", str(path), "--language", language, "--format", "json")
    assert ended.status == 0, ended.errors
    segments = json.loads(ended.output)["segments"]
    return [ParseDict(segment, Segment(), ignore_unknown_fields=True) for segment in segments]


async def by_chunks(book: Mapping[str, str], pcm: Pcm, language: str) -> list[Segment]:
    """Raw chunks over REST, the last one says so."""
    async with gateway(book) as http:
        meeting_id = await started(http, language, "upload")
        size = round(_CHUNK_SECONDS * SAMPLE_RATE_HERTZ)
        chunks = [pcm[start : start + size] for start in range(0, len(pcm), size)]
        for number, chunk in enumerate(chunks, start=1):
            body = {
                "content": base64.b64encode(chunk.astype("<i2").tobytes()).decode(),
                "encoding": "s16le",
                "sequence": number,
                "language": language,
                "last": number == len(chunks),
            }
            (await http.post(f"/v1/meetings/{meeting_id}/chunks", json=body)).raise_for_status()
    return await transcript(book, meeting_id)


async def by_call(book: Mapping[str, str]) -> dict[str, list[Segment]]:
    """Two callers at the same time, a language each, which the recorder finds out; segments by language."""
    async with (
        gateway(book) as http,
        open_channel(book["connector"], api_key=book["service_key"]) as channel,
        asyncio.timeout(2 * _SECONDS),
    ):
        meeting_id = await started(http, "", "realtime")
        url = f"{book['url'].replace('http', 'ws', 1)}/v1/rooms/{meeting_id}/signal"
        spoken = [
            speech_from_samples(track(sentences(language), pause_seconds=_PAUSE_SECONDS)) for language in _LANGUAGES
        ]
        async with (
            open_caller("en", spoken[0], url=url, room=meeting_id, token=book["user_key"]) as one,
            open_caller("ru", spoken[1], url=url, room=meeting_id, token=book["user_key"]) as other,
        ):
            await ConnectorServiceStub(channel).Join(connector.JoinRequest(meeting_id=meeting_id), timeout=30)
            await asyncio.gather(one.ready.wait(), other.ready.wait())
            await asyncio.gather(one.speak(), other.speak())
            (await http.post(f"/v1/meetings/{meeting_id}/finish", json={})).raise_for_status()
    segments = await transcript(book, meeting_id)
    assert all(segment.language == segment.speaker for segment in segments)
    return {language: [one for one in segments if one.speaker == language] for language in _LANGUAGES}


def gateway(book: Mapping[str, str]) -> httpx2.AsyncClient:
    """A user's REST client."""
    return httpx2.AsyncClient(
        base_url=book["url"], headers={"X-API-Key": book["user_key"]}, timeout=30, trust_env=False
    )


async def started(http: httpx2.AsyncClient, language: str, mode: str) -> str:
    """Start a meeting; returns its identifier."""
    body = {"title": "Paths", "mode": mode, "language": language, "auto_join_connector": False}
    answer = await http.post("/v1/meetings/start", json=body)
    answer.raise_for_status()
    return str(answer.json()["meeting_id"])


async def transcript(book: Mapping[str, str], meeting_id: str) -> list[Segment]:
    """Follow a meeting to its end; returns its segments in the order of what was said."""
    segments: list[Segment] = []
    deadline = time.monotonic() + _SECONDS
    async with open_channel(book["ingest"], api_key=book["user_key"]) as channel:
        stub: Any = MeetingServiceStub(channel)
        events = stub.WatchMeeting(meetings.WatchMeetingRequest(meeting_id=meeting_id))
        with held(events):
            while time.monotonic() < deadline:
                async with asyncio.timeout(_SECONDS):
                    event = await events.read()
                if event is grpc.aio.EOF:
                    return sorted(segments, key=lambda segment: segment.start_ms)
                if event.HasField("segment"):
                    segments.append(event.segment)
    raise AssertionError(f"the meeting did not end within {_SECONDS:.0f} s")
