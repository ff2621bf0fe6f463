"""Retention: what is too old goes, in batches, once a day over all replicas; the rest stays."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from kit.blobs import BlobStore, open_blobs
from kit.clock import now
from kit.db.engine import Database, open_database
from kit.db.tenancy import within
from kit.ids import new_id
from kit.queue.worker import open_worker
from services.ingest.erasure.erasure import Erasure
from services.ingest.erasure.repository import ERASE_BLOBS, QUEUE, ErasureRepository
from services.ingest.erasure.retention import RETAIN, Retention
from services.ingest.errors import MeetingNotFound
from services.ingest.intake.session import MeetingKey
from services.ingest.settings import RetentionSettings, TenantRetention
from tests.integration.ingest.running import SECONDS, serving_ingest
from tests.kit_server import eventually
from tests.postgres import whole


class NobodyLive:
    """Meetings of a replica at which none is live."""

    async def erase(self, key: MeetingKey) -> None:
        """Nothing to cut off."""


async def held(database: Database, blobs: BlobStore, tenant_id: str, days_ago: float, state: str = "finished") -> str:
    """Put a sealed meeting that ended so long ago into the tables and its audio into the store."""
    meeting_id = new_id()
    ended = now() - timedelta(days=days_ago)
    values = {"id": meeting_id, "tenant": tenant_id, "state": state, "ended": ended, "session": f"{meeting_id}/s"}
    async with whole(database).begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO meetings (id, tenant_id, mode, state, end_time, create_time)"
                " VALUES (:id, :tenant, 'realtime', :state, :ended, :ended)"
            ),
            values,
        )
        await connection.execute(
            text(
                "INSERT INTO audio_sessions (id, meeting_id, tenant_id, state, sealed_key)"
                " VALUES (:session, :id, :tenant, 'settled', :key)"
            ),
            values | {"key": f"audio/{tenant_id}/{meeting_id}/s"},
        )
    await blobs.put(f"audio/{tenant_id}/{meeting_id}/s/1.flac", b"sound")
    await blobs.put(f"tenants/{tenant_id}/meetings/{meeting_id}/artifacts/1/raw-0.txt", b"words")
    return meeting_id


async def state(database: Database, blobs: BlobStore, meeting_id: str) -> tuple[bool, bool]:
    """Return whether a meeting's rows are there, and whether its audio is."""
    async with whole(database).connect() as connection:
        there = await connection.scalar(text("SELECT count(*) FROM meetings WHERE id = :id"), {"id": meeting_id})
    return bool(there), bool([blob async for blob in blobs.list() if meeting_id in blob.key and "audio/" in blob.key])


def retention(database: Database, blobs: BlobStore, settings: RetentionSettings, batch: int = 100) -> Retention:
    repository = ErasureRepository(database)
    erasure = Erasure(repository, blobs, NobodyLive())
    return Retention(settings, database, repository, erasure, blobs, batch=batch)


async def through(database: Database, keeping: Retention, blobs: BlobStore) -> None:
    """Work on the queue until nothing is due."""
    erasure = Erasure(ErasureRepository(database), blobs, NobodyLive())
    handlers = {RETAIN: keeping.retain, ERASE_BLOBS: erasure.erase_blobs}

    async def idle() -> bool:
        async with whole(database).connect() as connection:
            due = await connection.scalar(
                text("SELECT count(*) FROM jobs WHERE state IN ('ready', 'running', 'waiting') AND run_at <= now()")
            )
        return bool(due == 0)

    async with open_worker(database, QUEUE, handlers, poll_seconds=0.05):
        await eventually(idle, SECONDS)


async def test_recordings_go_before_texts_and_tenants_have_days_of_their_own(database_url: str, tmp_path: Path) -> None:
    settings = RetentionSettings(
        audio_days=30,
        text_days=365,
        tenants={"acme": TenantRetention(audio_days=7, text_days=90), "forever": TenantRetention(audio_days=0)},
    )
    wanted: Mapping[tuple[str, float, str], tuple[bool, bool]] = {
        ("default", 29, "finished"): (True, True),
        ("default", 31, "finished"): (True, False),
        ("default", 366, "finished"): (False, False),
        ("default", 366, "live"): (True, True),
        ("default", 366, "scheduled"): (False, False),
        ("acme", 6, "finished"): (True, True),
        ("acme", 8, "failed"): (True, False),
        ("acme", 91, "finished"): (False, False),
        ("forever", 364, "finished"): (True, True),
        ("forever", 366, "finished"): (False, False),
    }
    async with open_database(database_url) as database, open_blobs("local_fs", tmp_path) as blobs:
        made = {each: await held(database, blobs, *each) for each in wanted}
        keeping = retention(database, blobs, settings)
        assert await keeping.begin_day(now())
        await through(database, keeping, blobs)
        assert {each: await state(database, blobs, made[each]) for each in wanted} == dict(wanted)
        texts = {blob.key.split("/")[3] async for blob in blobs.list("tenants")}
        assert texts == {made[each] for each, (rows, _) in wanted.items() if rows}
        async with whole(database).connect() as connection:
            stones = (
                await connection.execute(text("SELECT meeting_id, erased_by, blobs_gone_time FROM tombstones"))
            ).all()
            noted = (await connection.scalars(text("SELECT id FROM meetings WHERE audio_erase_time IS NOT NULL"))).all()
        assert {stone.meeting_id for stone in stones} == {made[each] for each, (rows, _) in wanted.items() if not rows}
        assert {stone.erased_by for stone in stones} == {"retention"}
        assert all(stone.blobs_gone_time for stone in stones)
        assert set(noted) == {made[each] for each, found in wanted.items() if found == (True, False)}


async def test_many_go_in_batches(database_url: str, tmp_path: Path) -> None:
    async with open_database(database_url) as database, open_blobs("local_fs", tmp_path) as blobs:
        made = [await held(database, blobs, "default", 10 + number) for number in range(7)]
        keeping = retention(database, blobs, RetentionSettings(audio_days=5), batch=3)
        await keeping.begin_day(now())
        await through(database, keeping, blobs)
        assert [await state(database, blobs, each) for each in made] == [(True, False)] * 7
        async with whole(database).connect() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM jobs WHERE kind = 'retain'")) == 3


async def test_a_day_has_one_job_over_all_replicas(database_url: str, tmp_path: Path) -> None:
    async with open_database(database_url) as database, open_blobs("local_fs", tmp_path) as blobs:
        replicas = [retention(database, blobs, RetentionSettings(text_days=1)) for _ in range(5)]
        began = now()
        assert sum(await asyncio.gather(*(each.begin_day(began) for each in replicas))) == 1
        assert not await replicas[0].begin_day(began)
        assert await replicas[1].begin_day(began + timedelta(days=1))


async def test_without_settings_only_answers_that_nobody_repeats_any_more_are_forgotten(
    database_url: str, tmp_path: Path
) -> None:
    async with open_database(database_url) as database, open_blobs("local_fs", tmp_path) as blobs:
        kept = await held(database, blobs, "default", 4000)
        for tenant_id, days_ago in (("default", 6), ("default", 8), ("acme", 8)):
            answer = {"tenant": tenant_id, "key": str(days_ago), "made": now() - timedelta(days=days_ago)}
            async with whole(database).begin() as connection:
                await connection.execute(
                    text(
                        "INSERT INTO idempotency_keys (tenant_id, scope, key, response, create_time)"
                        " VALUES (:tenant, 'Redeliver', :key, '{}', :made)"
                    ),
                    answer,
                )
        keeping = retention(database, blobs, RetentionSettings())
        await keeping.begin_day(now())
        await through(database, keeping, blobs)
        async with whole(database).begin() as connection:
            assert list(await connection.scalars(text("SELECT key FROM idempotency_keys"))) == ["6"]
        assert await state(database, blobs, kept) == (True, True)


async def test_what_one_tenant_erases_or_outgrows_leaves_the_others_rows_and_files(
    database_url: str, tmp_path: Path
) -> None:
    async with open_database(database_url) as database, open_blobs("local_fs", tmp_path) as blobs:
        made = [await held(database, blobs, tenant_id, 50) for tenant_id in ("acme", "acme", "umbrella")]
        repository = ErasureRepository(database)
        erasure = Erasure(repository, blobs, NobodyLive())
        for scope, named in (("acme", "umbrella"), ("acme", "acme"), ("umbrella", "acme")):
            with within(scope), pytest.raises(MeetingNotFound):  # also where a servicer named the wrong tenant
                await erasure.erase(MeetingKey(named, made[2]), erased_by="user", reason="")
        with within("acme"):
            await erasure.erase(MeetingKey("acme", made[0]), erased_by="user", reason="")
        settings = RetentionSettings(tenants={"acme": TenantRetention(audio_days=7, text_days=30)})
        keeping = retention(database, blobs, settings)
        await keeping.begin_day(now())
        await through(database, keeping, blobs)
        assert [await state(database, blobs, each) for each in made] == [(False, False), (False, False), (True, True)]
        assert {blob.key.split("/")[1] async for blob in blobs.list()} == {"umbrella"}


async def test_what_is_sealed_late_goes_the_next_day(database_url: str, tmp_path: Path) -> None:
    async with open_database(database_url) as database, open_blobs("local_fs", tmp_path) as blobs:
        meeting_id = await held(database, blobs, "default", 10)
        keeping = retention(database, blobs, RetentionSettings(audio_days=5))
        await keeping.begin_day(now())
        await through(database, keeping, blobs)
        await blobs.put(f"audio/default/{meeting_id}/late/1.flac", b"sound")
        async with whole(database).begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO audio_sessions (id, meeting_id, tenant_id, state, sealed_key)"
                    " VALUES ('late', :id, 'default', 'settled', :key)"
                ),
                {"id": meeting_id, "key": f"audio/default/{meeting_id}/late"},
            )
        await keeping.begin_day(now() + timedelta(days=1))
        await through(database, keeping, blobs)
        assert await state(database, blobs, meeting_id) == (True, False)


async def test_the_room_does_it_at_its_start(database_url: str, tmp_path: Path) -> None:
    async with open_database(database_url) as database, open_blobs("local_fs", tmp_path / "blobs") as blobs:
        old = await held(database, blobs, "default", 3)
        async with serving_ingest(database_url, tmp_path, retention=RetentionSettings(text_days=2)):

            async def gone() -> bool:
                return await state(database, blobs, old) == (False, False)

            await eventually(gone, SECONDS)
