"""What the tables themselves guarantee: each final once, one request one meeting, erasure without remainder."""

from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.ids import new_id
from store import models
from tests.postgres import fresh_database, whole

TENANT = "default"


async def add_meeting(connection: AsyncConnection, **columns: Any) -> str:
    values = {"id": new_id(), "tenant_id": TENANT, "mode": "realtime", "state": "live", **columns}
    await connection.execute(insert(models.meetings).values(values))
    return str(values["id"])


async def add_track(connection: AsyncConnection, meeting_id: str) -> str:
    session_id = new_id()
    common = {"meeting_id": meeting_id, "tenant_id": TENANT}
    await connection.execute(insert(models.audio_sessions).values(id=session_id, **common))
    await connection.execute(
        insert(models.tracks).values(session_id=session_id, number=1, participant_id="p1", **common)
    )
    return session_id


def segment(meeting_id: str, session_id: str, ordinal: int, start_sample: int) -> dict[str, Any]:
    return {
        "id": new_id(), "meeting_id": meeting_id, "tenant_id": TENANT, "ordinal": ordinal, "participant_id": "p1",
        "session_id": session_id, "track_number": 1, "start_sample": start_sample, "end_sample": start_sample + 16_000,
        "start_ms": start_sample // 16, "end_ms": start_sample // 16 + 1000, "text": "да",
        "words": [{"text": "да", "start_ms": 0, "end_ms": 400, "confidence": 0.5}],
    }  # fmt: skip


async def test_a_final_that_comes_again_is_no_second_row() -> None:
    async with fresh_database() as database, whole(database).begin() as connection:
        meeting_id = await add_meeting(connection)
        session_id = await add_track(connection, meeting_id)
        for ordinal in (1, 2):
            values = segment(meeting_id, session_id, ordinal, start_sample=32_000)
            statement = upsert(models.segments).values(values).on_conflict_do_nothing(
                index_elements=["session_id", "track_number", "start_sample"]
            )  # fmt: skip
            written = (await connection.execute(statement.returning(models.segments.c.ordinal))).scalar_one_or_none()
            assert written == (1 if ordinal == 1 else None)


async def test_an_ordinal_is_given_once_in_a_meeting() -> None:
    async with fresh_database() as database, whole(database).begin() as connection:
        meeting_id = await add_meeting(connection)
        session_id = await add_track(connection, meeting_id)
        await connection.execute(insert(models.segments).values(segment(meeting_id, session_id, 1, 0)))
        again = insert(models.segments).values(segment(meeting_id, session_id, 1, 16_000))
        with pytest.raises(IntegrityError, match="uq_segments_meeting_id_ordinal"):
            await connection.execute(again)


async def test_a_request_makes_one_meeting_per_tenant() -> None:
    async with fresh_database() as database:
        async with whole(database).begin() as connection:
            await add_meeting(connection, request_id="r1")
            await add_meeting(connection, request_id="r1", tenant_id="another")
            await add_meeting(connection)
            await add_meeting(connection)
        with pytest.raises(IntegrityError, match="uq_meetings_request"):
            async with whole(database).begin() as connection:
                await add_meeting(connection, request_id="r1")


@pytest.mark.parametrize("column", ["mode", "state", "report_state"])
async def test_a_value_outside_an_enum_is_refused(column: str) -> None:
    async with fresh_database() as database:
        with pytest.raises(IntegrityError, match=f"ck_meetings_{column}"):
            async with whole(database).begin() as connection:
                await add_meeting(connection, **{column: "other"})


async def test_erasing_a_meeting_leaves_no_row_of_it() -> None:
    async with fresh_database() as database, whole(database).begin() as connection:
        meeting_id = await add_meeting(connection)
        session_id = await add_track(connection, meeting_id)
        common = {"meeting_id": meeting_id, "tenant_id": TENANT}
        await connection.execute(insert(models.segments).values(segment(meeting_id, session_id, 1, 0)))
        await connection.execute(insert(models.participants).values(id="p1", basis="roster", **common))
        await connection.execute(
            insert(models.coverage).values(participant_id="p1", kind="lost", start_ms=0, end_ms=5, **common)
        )
        await connection.execute(insert(models.reports).values(revision=1, body={}, transcript_sha256="", **common))
        await connection.execute(
            insert(models.artifacts).values(
                revision=1, kind="raw", format="txt", content_type="text/plain", blob_key="k", bytes=1, **common
            )
        )
        await connection.execute(insert(models.deliveries).values(id=new_id(), channel="email", target="a", **common))
        await connection.execute(delete(models.meetings).where(models.meetings.c.id == meeting_id))
        for table in models.metadata.sorted_tables:
            assert (await connection.execute(select(func.count()).select_from(table))).scalar_one() == 0, table.name


async def test_one_recorder_at_most_is_active_in_a_meeting() -> None:
    sessions = models.connector_sessions
    async with fresh_database() as database:
        common = {"meeting_id": "m", "tenant_id": TENANT, "provider": "room"}
        async with whole(database).begin() as connection:
            await connection.execute(insert(sessions).values(id="1", state="live", **common))
        with pytest.raises(IntegrityError, match="uq_connector_sessions_active"):
            async with whole(database).begin() as connection:
                await connection.execute(insert(sessions).values(id="2", state="joining", **common))
        async with whole(database).begin() as connection:
            await connection.execute(update(sessions).where(sessions.c.id == "1").values(state="ended"))
            await connection.execute(insert(sessions).values(id="2", state="joining", **common))
