"""PutChunk: encoded audio through the same door; answered when durable, repeated without harm."""

import asyncio
import io
import wave
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import av
import grpc
import numpy as np
import pytest

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import audio_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2 as mpb
from tests.fakes.stt_server import text_of
from tests.integration.ingest.running import (
    SECONDS,
    Pcm,
    Stubs,
    finished,
    heard,
    refused,
    running_ingest,
    segments,
    serving_ingest,
    speech,
    start_meeting,
)


def wav(pcm: Pcm, rate: int = 16_000, channels: int = 1) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(pcm.astype("<i2").tobytes())
    return content.getvalue()


def encoded(pcm: Pcm, container: str, codec: str, rate: int = 48_000) -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate, frame_size=stream.frame_size)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return content.getvalue()


def tone(seconds: float) -> Pcm:
    sound: Pcm = (8_000 * np.sin(np.arange(int(seconds * 16_000)) * 0.2)).astype(np.int16)
    return sound


async def put(client: Stubs, meeting_id: str, content: bytes = b"", **fields: Any) -> pb.PutChunkResponse:
    request = pb.PutChunkRequest(meeting_id=meeting_id, content=content, **fields)
    answer: pb.PutChunkResponse = await client.audio.PutChunk(request)
    return answer


async def refusal(awaitable: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    problem = await refused(awaitable)
    return problem.code, problem.reason


async def last_refusal(client: Stubs, meeting_id: str, content: bytes, **fields: Any) -> tuple[grpc.StatusCode, str]:
    """Put a chunk as a client does: again while the meeting is just being put away."""
    async with asyncio.timeout(SECONDS):
        while True:
            said = await refusal(put(client, meeting_id, content, **fields))
            if said[0] is not grpc.StatusCode.UNAVAILABLE:
                return said


async def test_chunks_follow_on_and_the_last_finishes_the_meeting(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        user = near.ingest.user
        meeting_id = await start_meeting(user, mode="upload")
        one, other = speech(16_000, 1), speech(8_000, 2)
        first = await put(user, meeting_id, wav(one), sequence=1)
        assert (first.sequence, first.duplicate, first.start_ms, first.end_ms) == (1, False, 0, 1_000)
        again = await put(user, meeting_id, wav(one), sequence=1)
        assert (again.sequence, again.duplicate, again.start_ms, again.end_ms) == (1, True, 0, 1_000)
        assert await refusal(put(user, meeting_id, wav(other), sequence=3)) == (
            grpc.StatusCode.OUT_OF_RANGE,
            "ERROR_REASON_SEQUENCE_GAP",
        )
        last = await put(user, meeting_id, wav(other), last=True)
        assert (last.sequence, last.start_ms, last.end_ms) == (2, 1_000, 1_500)
        meeting = await finished(user, meeting_id)
        assert meeting.duration_ms == 1_500
        assert heard(await segments(user, meeting_id)) == {"speaker-1": [text_of(np.concatenate([one, other]))]}
        assert meeting.participants[0].basis == "guess"
        assert meeting.raw_transcript.startswith("[00:00:00] Speaker 1: said ")
        # A client whose answers were lost on the way is told again that its chunks are there.
        again = await put(user, meeting_id, wav(other), sequence=2, last=True)
        assert (again.sequence, again.duplicate, again.start_ms, again.end_ms) == (2, True, 1_000, 1_500)
        assert (await put(user, meeting_id, wav(one), sequence=1)).duplicate
        assert await last_refusal(user, meeting_id, wav(other), sequence=3) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "ERROR_REASON_MEETING_FINISHED",
        )
        assert await last_refusal(user, meeting_id, wav(other)) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "ERROR_REASON_MEETING_FINISHED",
        )


async def test_a_chunk_is_there_after_a_restart_and_known_by_its_key(database_url: str, tmp_path: Path) -> None:
    async with serving_ingest(database_url, tmp_path) as ingest:
        meeting_id = await start_meeting(ingest.user, mode="upload")
        first = await put(ingest.user, meeting_id, wav(tone(1)), idempotency_key="k", participant_id="anna")
        await put(ingest.user, meeting_id, wav(tone(1)), participant_id="boris")
    # The last chunk is torn, as by a kill in the middle of its write.
    (path,) = tmp_path.glob("journals/*/*/chunks.*.journal")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 10)
    async with running_ingest(database_url, tmp_path) as near:
        again = await put(near.ingest.user, meeting_id, wav(tone(1)), idempotency_key="k", participant_id="anna")
        assert (again.duplicate, again.sequence, again.end_ms) == (True, first.sequence, 1_000)
        once_more = await put(near.ingest.user, meeting_id, wav(tone(1)), participant_id="boris", sequence=1, last=True)
        assert (once_more.duplicate, once_more.start_ms, once_more.end_ms) == (False, 0, 1_000)
        meeting = await finished(near.ingest.user, meeting_id)
        assert meeting.duration_ms == 1_000


async def test_an_owner_that_was_cut_off_refuses_nothing(database_url: str, tmp_path: Path) -> None:
    async with serving_ingest(database_url, tmp_path) as ingest:
        meeting_id = await start_meeting(ingest.user, mode="upload")
        await put(ingest.user, meeting_id, wav(tone(1)), sequence=1)
        # Another replica has taken the meeting up, and chunk 2.
        (own,) = tmp_path.glob(f"journals/*/{meeting_id}/*.owner")
        own.with_name(f"{int(own.stem) + 1}.owner").touch()
        assert await refusal(put(ingest.user, meeting_id, wav(tone(1)), sequence=3)) == (
            grpc.StatusCode.UNAVAILABLE,
            "ERROR_REASON_MEETING_ELSEWHERE",
        )


async def test_a_shorter_recording_ends_where_it_ends(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        user = near.ingest.user
        meeting_id = await start_meeting(user, mode="upload")
        await put(user, meeting_id, wav(tone(1)), participant_id="anna")
        await put(user, meeting_id, wav(tone(3)), participant_id="boris", last=True)
        await finished(user, meeting_id)
        coverage = await user.meetings.GetCoverage(mpb.GetCoverageRequest(meeting_id=meeting_id))
        assert {one.participant_id: (one.absent_ms, one.coverage_ms.lost) for one in coverage.participants} == {
            "anna": (2_000, 0),
            "boris": (0, 0),
        }


async def test_a_chunk_that_says_its_place_comes_there_and_what_lies_between_is_lost(
    database_url: str, tmp_path: Path
) -> None:
    async with serving_ingest(database_url, tmp_path) as ingest:
        meeting_id = await start_meeting(ingest.user)
        anna = {"participant_id": "anna", "basis": audio_pb2.SPEAKER_BASIS_ROSTER}
        first = await put(ingest.user, meeting_id, wav(tone(1)), start_ms=2_000, **anna)
        assert (first.start_ms, first.end_ms) == (2_000, 3_000)
        rounded = await put(ingest.user, meeting_id, wav(tone(1)), start_ms=3_009, **anna)
        assert (rounded.start_ms, rounded.end_ms) == (3_000, 4_000)
        late = await put(ingest.user, meeting_id, wav(tone(1)), start_ms=5_500, **anna)
        assert (late.start_ms, late.end_ms) == (5_500, 6_500)
    # The place of a chunk outlives the process as its samples do.
    async with running_ingest(database_url, tmp_path) as near:
        user = near.ingest.user
        beginning = await put(user, meeting_id, wav(tone(1)), start_ms=0, participant_id="boris")
        assert (beginning.start_ms, beginning.end_ms) == (0, 1_000)
        guess = {"participant_id": "anna", "basis": audio_pb2.SPEAKER_BASIS_GUESS, "display_name": "Speaker 1"}
        await put(user, meeting_id, wav(tone(0.5)), start_ms=6_500, **anna, display_name="Anna")
        await put(user, meeting_id, wav(tone(0.5)), start_ms=7_000, last=True, **guess)
        meeting = await finished(user, meeting_id)
        assert meeting.duration_ms == 7_500
        assert {one.participant_id: (one.display_name, one.basis) for one in meeting.participants} == {
            "anna": ("Anna", "roster"),
            "boris": ("", "own_track"),
        }
        coverage = await user.meetings.GetCoverage(mpb.GetCoverageRequest(meeting_id=meeting_id))
        assert {one.participant_id: (one.absent_ms, one.coverage_ms.lost) for one in coverage.participants} == {
            "anna": (2_000, 1_500),
            "boris": (6_500, 0),
        }


async def test_a_chunk_placed_before_the_end_of_what_is_there_follows_it(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        user = near.ingest.user
        meeting_id = await start_meeting(user)
        one, other = speech(16_000, 1), speech(8_000, 2)
        await put(user, meeting_id, wav(one), start_ms=1_000, participant_id="anna")
        behind = await put(user, meeting_id, wav(other), start_ms=500, participant_id="anna", last=True)
        assert (behind.start_ms, behind.end_ms) == (2_000, 2_500)
        await finished(user, meeting_id)
        assert heard(await segments(user, meeting_id)) == {"anna": [text_of(np.concatenate([one, other]))]}


async def test_a_place_that_cannot_be_is_refused_and_leaves_nothing_behind(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        user = near.ingest.user
        meeting_id = await start_meeting(user)
        for start_ms in (-1, 25 * 3_600_000, 1 << 40):
            assert await refusal(put(user, meeting_id, wav(tone(0.5)), start_ms=start_ms)) == (
                grpc.StatusCode.INVALID_ARGUMENT,
                "ERROR_REASON_INVALID_FIELD",
            )
        answer = await put(user, meeting_id, wav(tone(0.5)), start_ms=0, last=True)
        assert (answer.sequence, answer.start_ms, answer.end_ms) == (1, 0, 500)
        assert (await finished(user, meeting_id)).duration_ms == 500


async def test_equal_chunks_at_once_are_stored_once(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user, mode="upload")
        answers = await asyncio.gather(
            *(put(near.ingest.user, meeting_id, wav(tone(0.5)), idempotency_key="k") for _ in range(5))
        )
        assert sorted(answer.duplicate for answer in answers) == [False, True, True, True, True]
        assert {answer.end_ms for answer in answers} == {500}


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 44_100),
        ("flac", "flac", 16_000),
        ("ogg", "libopus", 48_000),
        ("webm", "libopus", 48_000),
        ("mp3", "libmp3lame", 44_100),
        ("mp4", "aac", 44_100),
    ],
)
async def test_what_recorders_write_is_understood(
    database_url: str, tmp_path: Path, container: str, codec: str, rate: int
) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user, mode="upload")
        answer = await put(near.ingest.user, meeting_id, encoded(tone(2), container, codec, rate), last=True)
        assert abs(answer.end_ms - 2_000) < 120
        await finished(near.ingest.user, meeting_id)


async def test_raw_samples_at_another_rate_are_taken(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user, mode="upload")
        content = tone(1).tobytes()
        assert (await put(near.ingest.user, meeting_id, content, encoding="s16le")).end_ms == 1_000
        answer = await put(near.ingest.user, meeting_id, content, encoding="s16le", sample_rate_hertz=8_000)
        assert abs(answer.end_ms - 3_000) <= 5


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"content": b"no audio at all, just words" * 50}, "ERROR_REASON_AUDIO_UNDECODABLE"),
        ({"content": b"\x00" * 4_001, "encoding": "s16le"}, "ERROR_REASON_AUDIO_UNDECODABLE"),
        (
            {"content": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/hostname\n"},
            "ERROR_REASON_AUDIO_UNDECODABLE",
        ),
        ({"content": b"ffconcat version 1.0\nfile /etc/hostname\n"}, "ERROR_REASON_AUDIO_UNDECODABLE"),
        ({"content": b""}, "ERROR_REASON_INVALID_FIELD"),
        ({"content": b"x", "encoding": "opus"}, "ERROR_REASON_INVALID_FIELD"),
        ({"content": b"xx", "encoding": "s16le", "sample_rate_hertz": 1}, "ERROR_REASON_INVALID_FIELD"),
        ({"content": b"x" * (8 * 1024 * 1024 + 1)}, "ERROR_REASON_TOO_LARGE"),
        ({"content": wav(np.zeros(16_000 * 11, np.int16))}, "ERROR_REASON_TOO_LARGE"),
        ({"content": wav(np.zeros(160, np.int16)), "participant_id": "x" * 200}, "ERROR_REASON_INVALID_FIELD"),
    ],
)
async def test_what_is_no_chunk_is_refused(
    database_url: str, tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    async with running_ingest(database_url, tmp_path, chunk_max_seconds=10) as near:
        meeting_id = await start_meeting(near.ingest.user, mode="upload")
        assert await refusal(put(near.ingest.user, meeting_id, **fields)) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_the_inner_contour_is_for_services(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user, mode="upload")
        request = pb.PutInternalChunkRequest(meeting_id=meeting_id, chunk=pb.PutChunkRequest(content=wav(tone(0.5))))
        assert await refusal(near.ingest.user.internal.PutInternalChunk(request)) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "ERROR_REASON_PERMISSION_DENIED",
        )
        answer = await near.ingest.service.internal.PutInternalChunk(request)
        assert answer.chunk.end_ms == 500


async def test_a_meeting_that_gets_no_more_chunks_is_finished(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path, chunk_timeout_seconds=0.3) as near:
        meeting_id = await start_meeting(near.ingest.user)
        await put(near.ingest.user, meeting_id, wav(tone(0.5)), participant_id="anna", language="en")
        assert (await finished(near.ingest.user, meeting_id)).duration_ms == 500
        assert near.speech.opens[0].language == "en"
        coverage = await near.ingest.user.meetings.GetCoverage(mpb.GetCoverageRequest(meeting_id=meeting_id))
        assert coverage.participants[0].coverage_ms.transcribed + coverage.participants[0].coverage_ms.silent == 500
