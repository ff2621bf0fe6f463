"""After the end: one report is asked for, once, and what a crash left behind is put away."""

import shutil
from pathlib import Path

from sqlalchemy import text

from tests.integration.ingest.running import (
    SECONDS,
    finished,
    heard,
    interview,
    running_ingest,
    segments,
    send,
    spoken,
    start_meeting,
)
from tests.kit_server import eventually
from tests.postgres import whole


def journals(data: Path) -> list[Path]:
    return list(data.glob("journals/*/*/*.journal"))


async def test_a_crash_after_the_end_seals_later_and_asks_for_no_second_report(
    database_url: str, tmp_path: Path
) -> None:
    script = interview(seed=31)
    kept = tmp_path / "kept.journal"
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        near.speech.seconds_per_final = 0.2  # so that the journal can be copied when it is whole
        await send(near.ingest.user, meeting_id, script.requests)
        (path,) = journals(tmp_path)
        shutil.copy(path, kept)
        near.speech.seconds_per_final = 0
        await finished(near.ingest.user, meeting_id)
        await eventually(lambda: not journals(tmp_path), seconds=SECONDS)
    path.parent.mkdir(parents=True)
    shutil.copy(kept, path)
    shutil.rmtree(tmp_path / "blobs" / "audio")
    async with running_ingest(database_url, tmp_path) as near:
        await eventually(lambda: not journals(tmp_path), seconds=SECONDS)
        assert len(list(tmp_path.glob("blobs/audio/default/*/s/*.flac"))) == 2
        assert not near.speech.opens
        assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)
        async with whole(near.ingest.database).connect() as connection:
            jobs = (
                await connection.execute(text("SELECT queue, kind, key, payload FROM jobs WHERE queue = 'report'"))
            ).all()
            states = (await connection.execute(text("SELECT state, sealed_key FROM audio_sessions"))).all()
        assert [tuple(job) for job in jobs] == [
            ("report", "build_report", meeting_id, {"meeting_id": meeting_id, "tenant_id": "default", "revision": 1})
        ]
        assert [tuple(state) for state in states] == [("settled", f"audio/default/{meeting_id}/s")]


async def test_journals_of_an_unknown_meeting_are_left_alone(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        meeting_id = await start_meeting(near.ingest.user)
        near.speech.seconds_per_final = 0.2
        await send(near.ingest.user, meeting_id, interview(seed=32).requests)
        (path,) = journals(tmp_path)
        foreign = tmp_path / "journals" / "default" / "of-another-database" / path.name
        foreign.parent.mkdir()
        shutil.copy(path, foreign)
        content = foreign.read_bytes()
    async with running_ingest(database_url, tmp_path) as near:
        await finished(near.ingest.user, meeting_id)
        await eventually(lambda: journals(tmp_path) == [foreign], seconds=SECONDS)
        assert foreign.read_bytes().startswith(content)
