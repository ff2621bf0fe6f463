"""The audit trail in PostgreSQL: one chain whoever appends, pages, tampering, the end of old rows, the command."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, text, update

from kit.audit.auditing import Auditing
from kit.audit.decision import Decision
from kit.audit.settings import AuditSettings
from kit.db.engine import Database, open_database
from kit.ops.sources import AuditQuestion
from store.audit.room import open_audit
from store.audit.table import AuditStore
from store.models import security_audit_events as events
from tests.kit_server import eventually
from tests.postgres import fresh_database, fresh_url, whole

NOON = datetime(2026, 11, 21, 12, 0, 0, 250, UTC)


def decision(number: int = 0, **fields: Any) -> Decision:
    usual = Decision(
        "deny" if number % 3 == 0 else "allow",
        f"/v1/meetings/{number}",
        "POST",
        f"user:{number % 2}",
        "api_key",
        "because ✓",
        "default",
        NOON + timedelta(seconds=number),
        "write",
    )
    return replace(usual, **fields)


async def filled(database: Database, count: int = 20) -> AuditStore:
    store = AuditStore(database)
    await store.append([decision(number) for number in range(count)])
    return store


async def test_rooms_that_append_at_once_make_one_chain():
    async with fresh_database() as database:
        stores = [AuditStore(database) for _ in range(8)]
        await asyncio.gather(
            *(store.append([decision(batch * 10 + row) for row in range(10)]) for batch in range(5) for store in stores)
        )
        check = await stores[0].check()
        assert (check.rows, check.broken) == (400, None)


async def test_pages_go_back_in_time_and_keep_to_the_question():
    async with fresh_database() as database:
        store = await filled(database)
        newest = await store.page(AuditQuestion(), None, 3)
        assert [row.decision.endpoint for row in newest] == [f"/v1/meetings/{number}" for number in (19, 18, 17)]
        older = await store.page(AuditQuestion(), newest[-1].sequence, 100)
        assert len(older) == 17
        denied = await store.page(AuditQuestion(outcome="deny", subject="user:0"), None, 100)
        assert [row.decision.endpoint for row in denied] == [f"/v1/meetings/{number}" for number in (18, 12, 6, 0)]
        within = AuditQuestion(start=NOON + timedelta(seconds=3), end=NOON + timedelta(seconds=6))
        assert len(await store.page(within, None, 100)) == 3
        assert len(await store.page(AuditQuestion(endpoint="/v1/meetings/1"), None, 100)) == 11
        assert await store.page(AuditQuestion(endpoint="/v1/meetings/_"), None, 100) == []


async def test_a_row_changed_or_removed_in_the_table_is_found():
    async with fresh_database() as database:
        store = await filled(database)
        async with whole(database).begin() as connection:
            await connection.execute(update(events).where(events.c.sequence == 7).values(subject="nobody"))
        check = await store.check()
        assert check.broken is not None
        assert check.broken.sequence == 7
    async with fresh_database() as database:
        store = await filled(database)
        async with whole(database).begin() as connection:
            await connection.execute(delete(events).where(events.c.sequence == 5))
        check = await store.check()
        assert check.broken is not None
        assert check.broken.sequence == 6


async def test_old_rows_are_cut_and_the_chain_says_so():
    async with fresh_database() as database:
        store = await filled(database)
        assert await store.cut(NOON + timedelta(seconds=8)) == 8
        check = await store.check()
        assert (check.rows, check.broken) == (13, None)
        assert await store.cut(NOON + timedelta(seconds=8)) == 0
        assert await store.cut(datetime(2999, 1, 1, tzinfo=UTC)) == 13
        await store.append([decision()])
        check = await store.check()
        assert (check.rows, check.broken) == (2, None)


async def test_a_room_writes_what_its_gate_decides_and_nothing_when_it_is_off():
    async with fresh_database() as database:
        store = AuditStore(database)
        async with open_audit(database, Auditing(AuditSettings())) as audit:
            audit.sink.record(decision(1))
            audit.sink.record(decision(2, weight="read"))
        [row] = await store.page(AuditQuestion(), None, 10)
        assert row.decision == replace(decision(1), weight="read")
        async with open_audit(database, Auditing(AuditSettings(db_enabled=False))) as audit:
            audit.sink.record(decision(3))
            await audit.log.append([decision(4)])
            assert len(await audit.log.page(AuditQuestion(), None, 10)) == 1
        async with open_audit(database, None) as audit:
            audit.sink.record(decision(3))
        assert (await store.check()).rows == 1


async def test_a_database_that_comes_back_gets_what_waited():
    with fresh_url() as url:
        async with open_database(url, room="tests") as database, open_database(url, room="other") as other:
            store = AuditStore(database)
            async with open_audit(database, Auditing(AuditSettings())) as audit:
                async with whole(other).begin() as connection:
                    await connection.execute(text("LOCK TABLE security_audit_events"))
                    audit.sink.record(decision(1))
                    await asyncio.sleep(0)

                async def written() -> bool:
                    return (await store.check()).rows == 1

                await eventually(written, 20)


async def verified(url: str, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "mesh", "audit", "verify", *arguments]
    environment = {**os.environ, "DATABASE_URL": url}
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout


async def test_the_command_answers_with_its_exit_status():
    with fresh_url() as url:
        async with open_database(url, room="tests") as database:
            store = await filled(database, 3)
            _, head = await store.head()
            assert await verified(url, "--head", head) == (0, f"whole: 3 rows, head {head}\n")
            async with whole(database).begin() as connection:
                await connection.execute(delete(events).where(events.c.sequence == 3))
            status, said = await verified(url, "--head", head)
            assert (status, said.startswith("broken at the end")) == (1, True)
            async with whole(database).begin() as connection:
                await connection.execute(update(events).where(events.c.sequence == 2).values(reason="other"))
            status, said = await verified(url)
            assert (status, said.startswith("broken at row 2 ")) == (1, True)
