"""Sealing: each track becomes one FLAC file, sample by sample where it was; then the journal is gone."""

import io
from pathlib import Path

import av
import numpy as np

from agent.common.v1 import audio_pb2
from tests.integration.ingest.running import SECONDS, Script, finished, running_ingest, send, start_meeting, talk
from tests.kit_server import eventually


def samples(flac: bytes) -> np.ndarray:
    with av.open(io.BytesIO(flac), "r") as container:
        assert container.streams.audio[0].rate == 16_000
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])


async def test_a_finished_sessions_tracks_are_sealed_and_its_journal_removed(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        one, other = talk(3, seed=1), talk(2, seed=2)
        script = Script()
        script.track(1, "anna", start=8_000)
        script.track(2, "boris")
        script.track(3, "cecil")
        script.say(1, one)
        script.gap(1, 100_000, audio_pb2.GAP_REASON_MUTED)
        script.say(1, other)
        script.say(2, other)
        script.end()
        await send(near.ingest.user, meeting_id, script.requests)
        await finished(near.ingest.user, meeting_id)
        await eventually(lambda: not list(tmp_path.glob("journals/*/*/*.journal")), seconds=SECONDS)
        prefix = f"audio/default/{meeting_id}/s"
        anna = samples(await near.ingest.blobs.get(f"{prefix}/1.flac"))
        assert np.array_equal(anna, np.concatenate([one, np.zeros(100_000, np.int16), other]))
        assert np.array_equal(samples(await near.ingest.blobs.get(f"{prefix}/2.flac")), other)
        assert not await near.ingest.blobs.exists(f"{prefix}/3.flac")  # nothing was ever sent on it
