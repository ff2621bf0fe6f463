"""Sound files of bad will at both doors that take files: clear refusals, within bounds of memory and time."""

import asyncio
import resource
import time
from pathlib import Path

import grpc
import httpx2
import pytest

from agent.ingest.v1 import audio_service_pb2 as pb
from kit.lifecycle import Shutdown
from kit.rpc.status import error_of
from services.stt.app import open_stt
from services.stt.settings import SttSettings
from tests.contract.fuzz.sounds import constant_flac, hostile_sounds
from tests.integration.gateway.scripted import USER, api_keys, running_mesh
from tests.integration.ingest.running import serving_ingest, start_meeting
from tests.postgres import fresh_url

UNDECODABLE, TOO_LARGE = "ERROR_REASON_AUDIO_UNDECODABLE", "ERROR_REASON_TOO_LARGE"
MEGABYTES = 300
"""What a file may cost at the most, whatever it says; the samples of ten minutes are 19 of them."""
SECONDS = 60.0
"""And how long it may take, on a machine with other things to do."""

REFUSED = {
    "10 h of silence in opus": TOO_LARGE,
    "10 h of silence in flac": TOO_LARGE,
    "flac of one sample a second": UNDECODABLE,
    "8 MiB of wav, one sample a second": UNDECODABLE,
    "wav that tells of 65,535 channels": UNDECODABLE,
    "mp4 with an atom of 4 GiB": UNDECODABLE,
    "mp4 with an atom of 2^62": UNDECODABLE,
    "mp4 of atoms in atoms": UNDECODABLE,
    "a playlist": UNDECODABLE,
    "a list of files": UNDECODABLE,
    "a description of a session": UNDECODABLE,
    "a picture": UNDECODABLE,
    "zeros": UNDECODABLE,
}
"""What must not be taken; of what is cut or lies, the sound that is there may be."""
_TAKEN = (
    "flac with a picture that swells",
    "mov with a picture that swells",
    "wav that tells of more data than it has",
)
_AT_ONCE = 4


def _peak_megabytes(who: int) -> int:
    return resource.getrusage(who).ru_maxrss // 1024


@pytest.mark.timeout(300)
async def test_chunks(tmp_path: Path):
    sounds = await asyncio.to_thread(lambda: list(hostile_sounds()))
    surprises: list[str] = []
    with fresh_url() as url:
        async with serving_ingest(url, tmp_path, max_tracks=256, chunk_max_seconds=60) as ingest:
            meeting_id = await start_meeting(ingest.user, mode="upload")
            before = _peak_megabytes(resource.RUSAGE_SELF)
            for name, content in sounds:
                chunk = pb.PutChunkRequest(meeting_id=meeting_id, content=content, participant_id=name)
                began, reason = time.monotonic(), ""
                try:
                    await ingest.user.audio.PutChunk(chunk, timeout=SECONDS)
                except grpc.aio.AioRpcError as error:
                    reason = error_of(error).reason or error.code().name
                if reason not in ("", UNDECODABLE, TOO_LARGE) or (name in REFUSED and reason != REFUSED[name]):
                    surprises.append(f"{name}: {reason or 'taken'} after {time.monotonic() - began:.1f} s")
                if name in _TAKEN and reason:
                    surprises.append(f"{name}: {reason}")
            grown = _peak_megabytes(resource.RUSAGE_SELF) - before
            honest = pb.PutChunkRequest(meeting_id=meeting_id, content=constant_flac(16_000, 65_535))
            assert (await ingest.user.audio.PutChunk(honest)).end_ms == 4096
    assert not surprises, "\n".join(surprises)
    assert grown < MEGABYTES


@pytest.mark.timeout(300)
async def test_transcriptions(tmp_path: Path):
    wanted = {*REFUSED, *_TAKEN}
    sounds = await asyncio.to_thread(lambda: [(name, data) for name, data in hostile_sounds() if name in wanted])
    surprises: list[str] = []
    free = asyncio.Semaphore(_AT_ONCE)
    settings = SttSettings(
        provider=("mock",), threads=1, max_file_minutes=1, listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"
    )
    async with (
        open_stt(settings, api_keys(), Shutdown()) as stt,
        running_mesh(elsewhere={"stt": stt.server.address}) as mesh,
        httpx2.AsyncClient(base_url=mesh.url, headers=USER, timeout=SECONDS) as http,
    ):

        async def ask(name: str, content: bytes) -> None:
            async with free:
                answer = await http.post(
                    "/v1/audio/transcriptions", data={"model": "any"}, files={"file": ("sound", content)}
                )
            refused = name in REFUSED
            if answer.status_code != (400 if refused else 200) and answer.status_code != (413 if refused else 200):
                surprises.append(f"{name}: {answer.status_code} {answer.text[:200]}")
            elif refused and not answer.json()["error"]["message"]:
                surprises.append(f"{name}: refused without a word")

        async with asyncio.TaskGroup() as tasks:
            for name, content in sounds:
                tasks.create_task(ask(name, content), name=name)
    assert not surprises, "\n".join(surprises)
    assert len(sounds) == len(wanted)
    # What a child has is counted from its fork on, when all that we had was its own.
    assert _peak_megabytes(resource.RUSAGE_CHILDREN) < _peak_megabytes(resource.RUSAGE_SELF) + MEGABYTES
