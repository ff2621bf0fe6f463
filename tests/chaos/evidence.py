"""Evidence: what the mesh has kept of a meeting, read from the database and the blob store behind its back."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from examples.interview.codec import read_flac
from examples.interview.interview import Track

_RETRY_SECONDS = 0.3
_SETTLED = """
SELECT id FROM meetings
WHERE id = ANY(%(ids)s) AND state = 'finished' AND report_state = 'ready' AND NOT EXISTS (
    SELECT FROM audio_sessions WHERE meeting_id = meetings.id AND sealed_key IS NULL
)
"""
_MEETING = "SELECT state, report_state, revision, duration_ms FROM meetings WHERE id = %(id)s"
_SEGMENTS = """
SELECT participant_id, start_sample, end_sample, text, ordinal FROM segments WHERE meeting_id = %(id)s ORDER BY ordinal
"""
_COVERAGE = """
SELECT participant_id, kind, sum(end_ms - start_ms)::int AS length_ms FROM coverage WHERE meeting_id = %(id)s
GROUP BY participant_id, kind
"""
_TRACKS = """
SELECT participant_id, sealed_key || '/' || number || '.flac' AS file FROM tracks
JOIN audio_sessions ON audio_sessions.id = tracks.session_id WHERE tracks.meeting_id = %(id)s
ORDER BY audio_sessions.create_time, number
"""
_TWICE = """
SELECT (SELECT count(*) - count(DISTINCT payload->>'revision') FROM jobs WHERE key = %(id)s AND kind = 'build_report')
     + (SELECT count(*) - count(DISTINCT revision) FROM reports WHERE meeting_id = %(id)s)
     + (SELECT count(*) - count(DISTINCT (revision, kind, format)) FROM artifacts WHERE meeting_id = %(id)s)
     + (SELECT count(*) - count(DISTINCT (revision, channel, target)) FROM deliveries WHERE meeting_id = %(id)s)
AS twice
"""
_BUILT = """
SELECT (SELECT count(*) FROM reports WHERE meeting_id = %(id)s) AS reports,
       (SELECT count(*) FROM artifacts WHERE meeting_id = %(id)s) AS artifacts
"""


@dataclass(frozen=True, order=True, slots=True)
class Said:
    """One segment: whose, `[start, end)` in samples on the meeting's timeline, what."""

    participant_id: str
    start_sample: int
    end_sample: int
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left of one meeting."""

    state: str
    report_state: str
    duration_ms: int
    said: Sequence[Said]
    """In the order of settling."""
    ordinals: Sequence[int]
    coverage_ms: Mapping[str, Mapping[str, int]]
    """By participant and kind."""
    recordings: Mapping[str, Track]
    """What was sealed, by participant."""
    reports: int
    artifacts: int
    jobs_twice: int
    """Effects that happened more than once for one revision."""


class Archive:
    """Reads evidence; made by `open_archive`. The database may be away: then it waits."""

    def __init__(self, url: str, blobs: Path) -> None:
        self._url = url
        self._blobs = blobs
        self._connection: psycopg.AsyncConnection[dict[str, Any]] | None = None
        self._asking = asyncio.Lock()

    async def settled(self, meeting_ids: Sequence[str]) -> set[str]:
        """Return those meetings that are through: text stored, report built, every track sealed."""
        return {str(row["id"]) for row in await self._rows(_SETTLED, {"ids": list(meeting_ids)})}

    async def read(self, meeting_id: str) -> Evidence:
        """Return everything that is known of a meeting."""
        one = {"id": meeting_id}
        (meeting,) = await self._rows(_MEETING, one)
        segments = await self._rows(_SEGMENTS, one)
        coverage: dict[str, dict[str, int]] = {}
        for row in await self._rows(_COVERAGE, one):
            coverage.setdefault(row["participant_id"], {})[row["kind"]] = row["length_ms"]
        recordings = {}
        for row in await self._rows(_TRACKS, one):
            path = self._blobs / (row["file"] or "")
            if path.is_file():
                recordings[row["participant_id"]], _ = await asyncio.to_thread(read_flac, path)
        (twice,), (built,) = await self._rows(_TWICE, one), await self._rows(_BUILT, one)
        return Evidence(
            state=meeting["state"],
            report_state=meeting["report_state"],
            duration_ms=meeting["duration_ms"],
            said=[Said(row["participant_id"], row["start_sample"], row["end_sample"], row["text"]) for row in segments],
            ordinals=[row["ordinal"] for row in segments],
            coverage_ms=coverage,
            recordings=recordings,
            reports=built["reports"],
            artifacts=built["artifacts"],
            jobs_twice=twice["twice"],
        )

    async def _rows(self, statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        async with self._asking:
            while True:
                try:
                    if self._connection is None:
                        self._connection = await psycopg.AsyncConnection.connect(
                            self._url, autocommit=True, row_factory=dict_row, connect_timeout=2
                        )
                    return await (await self._connection.execute(statement, values)).fetchall()
                except psycopg.OperationalError:
                    await self.close()
                    await asyncio.sleep(_RETRY_SECONDS)

    async def close(self) -> None:
        """Let the database go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


@asynccontextmanager
async def open_archive(url: str, blobs: Path) -> AsyncIterator[Archive]:
    """Read evidence for the block.

    Args:
        url: of the database itself, past every link.
        blobs: directory of the blob store.
    """
    archive = Archive(url, blobs)
    try:
        yield archive
    finally:
        await archive.close()
