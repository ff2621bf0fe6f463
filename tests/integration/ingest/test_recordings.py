"""GetAudio: one voice or all of them as one file, sample n where it was on the meeting's timeline."""

import asyncio
import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.ingest.v1 import meeting_service_pb2 as mpb
from kit.rpc.calls import held
from services.ingest.recordings import encoding
from tests.integration.ingest.running import (
    SECONDS,
    Script,
    Stubs,
    connected,
    finished,
    refused,
    running_ingest,
    send,
    start_meeting,
    talk,
)
from tests.kit_server import eventually

Pcm = NDArray[np.int16]


async def fetched(client: Stubs, meeting_id: str, participant_id: str = "", fmt: str = "flac") -> tuple[str, bytes]:
    """Return the content type and the bytes; waits until the tracks are sealed."""
    request = mpb.GetAudioRequest(meeting_id=meeting_id, participant_id=participant_id, format=fmt)
    pieces = []
    async with asyncio.timeout(SECONDS):
        async for response in client.meetings.GetAudio(request):
            pieces.append(response.body)
    assert {piece.content_type for piece in pieces[1:]} <= {""}
    assert all(len(piece.data) <= 256 * 1024 for piece in pieces)
    return pieces[0].content_type, b"".join(piece.data for piece in pieces)


def samples(data: bytes) -> Pcm:
    with av.open(io.BytesIO(data), "r") as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        frames: list[Any] = [*container.decode(audio=0), None]
        return np.concatenate([each.to_ndarray().reshape(-1) for one in frames for each in resampler.resample(one)])


async def sealed(near: Any, meeting_id: str) -> None:
    await finished(near.ingest.user, meeting_id)
    await eventually(lambda: not list(near.ingest.data.glob(f"journals/*/{meeting_id}")), seconds=SECONDS)


async def two_sessions(near: Any) -> tuple[str, dict[str, Pcm]]:
    """Hold a meeting in which Anna comes back in a second session and Boris comes late."""
    meeting_id = await start_meeting(near.ingest.user)
    one, other, again = talk(3, seed=1), talk(4, seed=2), talk(2, seed=3)
    first = Script()
    first.track(1, "anna")
    first.say(1, one)
    first.track(2, "boris", start=20_000)
    first.say(2, other)
    first.end()
    second = Script()
    second.track(1, "anna", start=100_000)
    second.say(1, again)
    second.end()
    async with connected(near.ingest.user, meeting_id, "second"):
        await send(near.ingest.user, meeting_id, first.requests, "first")
    await send(near.ingest.user, meeting_id, second.requests, "second")
    await sealed(near, meeting_id)
    anna, boris = np.zeros(100_000 + len(again), np.int16), np.zeros(20_000 + len(other), np.int16)
    anna[: len(one)], anna[100_000:], boris[20_000:] = one, again, other
    return meeting_id, {"anna": anna, "boris": boris}


async def test_voices_come_alone_and_together_where_they_were(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id, voices = await two_sessions(near)
        for name, pcm in voices.items():
            content_type, data = await fetched(near.ingest.user, meeting_id, name)
            assert content_type == "audio/flac"
            assert np.array_equal(samples(data), pcm)
        together = np.zeros(max(map(len, voices.values())), np.int32)
        for pcm in voices.values():
            together[: len(pcm)] += pcm
        _, data = await fetched(near.ingest.user, meeting_id)
        assert np.array_equal(samples(data), together)
        content_type, data = await fetched(near.ingest.user, meeting_id, fmt="")
        assert content_type == "audio/ogg; codecs=opus"
        assert data.startswith(b"OggS")
        assert abs(len(samples(data)) - len(together)) <= 320


async def test_a_lone_track_from_the_start_is_the_master_itself(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = Script()
        script.track(1, "anna")
        script.say(1, talk(2, seed=1))
        script.track(2, "silent")
        script.end()
        await send(near.ingest.user, meeting_id, script.requests)
        await sealed(near, meeting_id)
        master = await near.ingest.blobs.get(f"audio/default/{meeting_id}/s/1.flac")
        assert (await fetched(near.ingest.user, meeting_id, "anna"))[1] == master
        assert (await fetched(near.ingest.user, meeting_id))[1] == master
        nobody = mpb.GetAudioRequest(meeting_id=meeting_id, participant_id="silent")
        problem = await refused(near.ingest.user.meetings.GetAudio(nobody).read())
        assert problem.reason == "ERROR_REASON_AUDIO_NOT_FOUND"


async def test_what_there_is_not_is_named(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)

        async def reason(**fields: str) -> tuple[str, str]:
            request = mpb.GetAudioRequest(**({"meeting_id": meeting_id} | fields))
            problem = await refused(near.ingest.user.meetings.GetAudio(request).read())
            return problem.code.name, problem.reason

        assert await reason() == ("FAILED_PRECONDITION", "ERROR_REASON_AUDIO_NOT_FOUND")
        assert await reason(format="wav") == ("INVALID_ARGUMENT", "ERROR_REASON_INVALID_FIELD")
        assert await reason(meeting_id="unknown") == ("NOT_FOUND", "ERROR_REASON_MEETING_NOT_FOUND")
        await near.ingest.user.meetings.FinishMeeting(mpb.FinishMeetingRequest(meeting_id=meeting_id))
        await finished(near.ingest.user, meeting_id)
        assert await reason() == ("NOT_FOUND", "ERROR_REASON_AUDIO_NOT_FOUND")
        assert await reason(participant_id="nobody") == ("NOT_FOUND", "ERROR_REASON_AUDIO_NOT_FOUND")


async def test_whoever_hangs_up_stops_the_work(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[Any] = []
    monkeypatch.setattr(encoding, "_PIECE_BYTES", 512)
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id, _ = await two_sessions(near)
        reader = near.ingest.blobs.open_reader

        def open_reader(key: str) -> Any:
            readers.append(reader(key))
            return readers[-1]

        monkeypatch.setattr(near.ingest.blobs, "open_reader", open_reader)
        with held(near.ingest.user.meetings.GetAudio(mpb.GetAudioRequest(meeting_id=meeting_id))) as call:
            assert (await call.read()).body.data
        assert readers
        await eventually(lambda: all(each.closed for each in readers), seconds=SECONDS)
