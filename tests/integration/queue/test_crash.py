"""Workers as processes: killed in the middle of a job, or stopped long enough to become zombies."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text

from kit.db.engine import Database
from kit.queue.queue import enqueue, get_job
from tests.postgres import fresh_database, whole

WORKER = """
    import asyncio, os, sys
    from kit.db.engine import open_database
    from kit.queue.worker import open_worker

    url, directory, lease = sys.argv[1], sys.argv[2], float(sys.argv[3])

    def write(line):
        with open(directory + "/effects", "a") as file:
            file.write(line + chr(10))

    async def build(job):
        write(f"begin {job.attempts} {os.getpid()}")
        while not os.path.exists(directory + "/go"):
            await asyncio.sleep(0.01)
        write(f"end {job.attempts} {os.getpid()}")

    async def main():
        async with open_database(url) as database:
            async with open_worker(database, "report", {"build": build}, lease_seconds=lease, poll_seconds=0.05):
                await asyncio.sleep(60)

    asyncio.run(main())
"""


@asynccontextmanager
async def running_worker(database: Database, directory: Path, *, lease_seconds: float) -> AsyncIterator[int]:
    url = database.engine.url.render_as_string(hide_password=False)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(WORKER), url, str(directory), str(lease_seconds),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def effects(directory: Path) -> list[str]:
    file = directory / "effects"
    return file.read_text().splitlines() if file.exists() else []


async def until_effects(directory: Path, count: int) -> list[str]:
    async with asyncio.timeout(30):
        while len(effects(directory)) < count:  # noqa: ASYNC110 - another process writes them
            await asyncio.sleep(0.01)
    return effects(directory)


async def add(database: Database) -> str:
    async with whole(database).begin() as connection:
        return await enqueue(connection, "report", "build", {})


async def until_done(database: Database, job_id: str) -> int:
    async with asyncio.timeout(30):
        while True:
            async with whole(database).connect() as connection:
                job = await get_job(connection, job_id)
            if job.state == "done":
                return job.attempts
            await asyncio.sleep(0.02)


async def test_the_job_of_a_killed_worker_is_redone_by_another(tmp_path: Path) -> None:
    async with fresh_database() as database:
        job_id = await add(database)
        async with running_worker(database, tmp_path, lease_seconds=1) as first:
            await until_effects(tmp_path, 1)
            os.kill(first, signal.SIGKILL)
        (tmp_path / "go").touch()
        async with running_worker(database, tmp_path, lease_seconds=1) as second:
            assert await until_done(database, job_id) == 2
        assert effects(tmp_path) == [f"begin 1 {first}", f"begin 2 {second}", f"end 2 {second}"]


async def test_a_worker_that_wakes_after_its_lease_settles_nothing(tmp_path: Path) -> None:
    async with fresh_database() as database:
        job_id = await add(database)
        async with running_worker(database, tmp_path, lease_seconds=1) as zombie:
            await until_effects(tmp_path, 1)
            os.kill(zombie, signal.SIGSTOP)
            async with running_worker(database, tmp_path, lease_seconds=1) as second:
                assert await until_effects(tmp_path, 2) == [f"begin 1 {zombie}", f"begin 2 {second}"]
                (tmp_path / "go").touch()  # the zombie's handler, too, finds that it may end
                os.kill(zombie, signal.SIGCONT)
                assert await until_done(database, job_id) == 2
                async with whole(database).connect() as connection:
                    assert (await connection.execute(text("SELECT count(*) FROM jobs"))).scalar_one() == 1
