"""The queue against a model: whatever happens in whatever order, no job is lost, doubled, or out of its key's order."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db.engine import Database, open_database
from kit.queue import claims
from kit.queue.errors import JobNotFound, JobStateChanged
from kit.queue.job import Job
from kit.queue.queue import drop, enqueue, list_jobs, read_stats, requeue
from tests.effort import explore
from tests.postgres import fresh_url, whole

WORKERS = ("w1", "w2", "w3")
UNFINISHED = ("ready", "waiting", "running")
LATER = timedelta(hours=2)

T = TypeVar("T")
numbers = count(1)


@dataclass
class Row:
    """What the model knows of a job."""

    id: str
    sequence: int
    key: str | None
    dedupe: str | None
    priority: int
    max_attempts: int
    run_at: datetime
    state: str
    attempts: int = 0
    worker: str | None = None
    expired: bool = False
    """Whether its lease has run out."""
    completions: int = 0

    @property
    def due(self) -> bool:
        return self.run_at < datetime.now(UTC) + timedelta(minutes=1)


class Abandoned(Exception):
    """Raised in a transaction that is not to be committed."""


class QueueMachine(RuleBasedStateMachine):
    """Producers, workers, zombies and operators of one queue; every example has a queue of its own."""

    def __init__(self, database: Database, runner: asyncio.Runner) -> None:
        super().__init__()
        self.database = database
        self.runner = runner
        self.queue = f"queue{next(numbers)}"
        self.rows: dict[str, Row] = {}
        self.gone: list[str] = []
        self.claimed: list[Job] = []
        """Every claim there ever was: the latest of a running job is its worker's, all others are zombies'."""
        self.seen_expired: list[Job] = []

    # --- the database --------------------------------------------------------------------------------------

    def run(self, act: Callable[[AsyncConnection], Awaitable[T]], *, commit: bool = True) -> T:
        """Act in a transaction; one that is not committed must leave nothing behind."""

        async def transaction() -> T:
            results: list[T] = []
            try:
                async with whole(self.database).begin() as connection:
                    results.append(await act(connection))
                    if not commit:
                        raise Abandoned
            except Abandoned:
                pass
            return results[0]

        return self.runner.run(transaction())

    def move(self, job_id: str, column: str, by: timedelta) -> None:
        """Let time pass for one job."""
        self.run(
            lambda connection: connection.execute(
                text(f"UPDATE jobs SET {column} = now() + :by WHERE id = :id"), {"by": by, "id": job_id}
            )
        )

    def observed(self) -> dict[str, Job]:
        """Return the rows of the queue; the moments at which they are due are the model's, too."""
        found = {job.id: job for job in self.run(lambda connection: list_jobs(connection, self.queue, limit=10_000))}
        for row in self.rows.values():
            if row.id in found:
                row.run_at = found[row.id].run_at
        return found

    # --- the model -----------------------------------------------------------------------------------------

    def in_state(self, state: str) -> list[Row]:
        return [row for row in self.rows.values() if row.state == state]

    def head(self, key: str | None) -> Row | None:
        heads = [row for row in self.rows.values() if row.key == key and row.state in ("ready", "running")]
        return heads[0] if key is not None and heads else None

    def promote(self, key: str | None) -> None:
        waiting = [row for row in self.rows.values() if row.key == key and row.state == "waiting"]
        if key is not None and waiting:
            min(waiting, key=lambda row: row.sequence).state = "ready"

    def claimable(self) -> list[Row]:
        ready = [row for row in self.rows.values() if row.state == "ready" and row.due]
        return sorted(ready, key=lambda row: (-row.priority, row.run_at, row.sequence))

    def owns(self, job: Job) -> Row | None:
        """Return the job's row if that claim is the one that counts."""
        row = self.rows.get(job.id)
        if row is None or (row.state, row.attempts, row.worker) != ("running", job.attempts, job.worker):
            return None
        return row

    def rest(self, row: Row) -> str:
        row.worker, row.expired = None, False
        row.state = "ready" if row.attempts < row.max_attempts else "dead"
        if row.state == "dead":
            self.promote(row.key)
        return row.state

    def settle(self, row: Row, state: str) -> None:
        row.worker, row.expired, row.state = None, False, state
        if state in ("done", "dead"):
            self.promote(row.key)

    # --- producers -----------------------------------------------------------------------------------------

    @initialize(keys=st.lists(st.sampled_from([None, "a", "a", "b"]), min_size=2, max_size=6))
    def begin(self, keys: list[str | None]) -> None:
        for key in keys:
            self.enqueue_one(key, None, False, 0, 2, True)

    @rule(
        key=st.sampled_from([None, "a", "a", "b"]),
        dedupe=st.sampled_from([None, None, "x", "y"]),
        later=st.sampled_from([False, False, False, True]),
        priority=st.integers(0, 2),
        max_attempts=st.integers(1, 3),
        commit=st.sampled_from([True, True, True, False]),
    )
    def enqueue(
        self, key: str | None, dedupe: str | None, later: bool, priority: int, max_attempts: int, commit: bool
    ) -> None:
        self.enqueue_one(key, dedupe, later, priority, max_attempts, commit)

    def enqueue_one(
        self, key: str | None, dedupe: str | None, later: bool, priority: int, max_attempts: int, commit: bool
    ) -> None:
        run_at = datetime.now(UTC) + LATER if later else None
        job_id = self.run(
            lambda connection: enqueue(
                connection, self.queue, "build", {}, key=key, dedupe=dedupe, run_at=run_at, priority=priority,
                max_attempts=max_attempts,
            ),
            commit=commit,
        )  # fmt: skip
        equal = [row for row in self.rows.values() if dedupe and row.dedupe == dedupe and row.state in UNFINISHED]
        if equal:
            assert job_id == equal[0].id
        elif commit:
            self.adopt(job_id, key, dedupe, priority, max_attempts)
        else:
            assert job_id not in self.observed()

    @rule(key=st.sampled_from([None, "a", "b"]), dedupe=st.sampled_from([None, "x"]), producers=st.integers(2, 4))
    def enqueue_at_once(self, key: str | None, dedupe: str | None, producers: int) -> None:
        async def one() -> str:
            async with whole(self.database).begin() as connection:
                return await enqueue(connection, self.queue, "build", {}, key=key, dedupe=dedupe, max_attempts=2)

        async def all_of_them() -> list[str]:
            return await asyncio.gather(*(one() for _ in range(producers)))

        ids = set(self.runner.run(all_of_them()))
        assert len(ids) == (1 if dedupe else producers)
        # Who came first is settled by `sequence`; being due at one moment makes what follows the same in each run.
        self.run(
            lambda connection: connection.execute(
                text("UPDATE jobs SET run_at = now() WHERE id = ANY(:ids)"), {"ids": sorted(ids - self.rows.keys())}
            )
        )
        found = self.observed()
        for job_id in sorted(ids - self.rows.keys(), key=lambda job_id: found[job_id].sequence):
            self.adopt(job_id, key, dedupe, 0, 2)

    def adopt(self, job_id: str, key: str | None, dedupe: str | None, priority: int, max_attempts: int) -> None:
        job = self.observed()[job_id]
        state = "ready" if self.head(key) is None else "waiting"
        assert job.sequence > max((row.sequence for row in self.rows.values()), default=0)
        self.rows[job_id] = Row(job_id, job.sequence, key, dedupe, priority, max_attempts, job.run_at, state)

    # --- workers -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.in_state("ready"))
    @rule(worker=st.sampled_from(WORKERS), limit=st.integers(1, 4), commit=st.sampled_from([True, True, True, False]))
    def claim(self, worker: str, limit: int, commit: bool) -> None:
        expected = self.claimable()[:limit]
        jobs = self.run(lambda connection: self.claim_on(connection, worker, limit), commit=commit)
        assert [job.id for job in jobs] == [row.id for row in sorted(expected, key=lambda row: row.sequence)]
        if commit:
            self.take(jobs)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), worker=st.sampled_from(WORKERS))
    def claim_one(self, data: st.DataObject, worker: str) -> None:
        row = data.draw(self.a_row("ready"))
        job = self.run(
            lambda connection: claims.claim_one(
                connection, self.queue, ["build"], row.id, worker=worker, lease_seconds=3600
            )
        )
        assert (job is not None) is (row.state == "ready" and row.due)
        if job is not None:
            self.take([job])

    @precondition(lambda self: self.in_state("ready"))
    @rule(limit=st.integers(1, 3))
    def claim_at_once(self, limit: int) -> None:
        """However many ask at the same moment, a job goes to one of them and none is left lying."""

        async def one(worker: str) -> list[Job]:
            async with whole(self.database).begin() as connection:
                return await self.claim_on(connection, worker, limit)

        async def all_of_them() -> list[list[Job]]:
            return await asyncio.gather(*(one(worker) for worker in WORKERS))

        expected = self.claimable()[: limit * len(WORKERS)]
        taken = [job for jobs in self.runner.run(all_of_them()) for job in jobs]
        assert sorted(job.id for job in taken) == sorted(row.id for row in expected)
        self.take(sorted(taken, key=lambda job: job.sequence))

    def claim_on(self, connection: AsyncConnection, worker: str, limit: int) -> Awaitable[list[Job]]:
        return claims.claim(connection, self.queue, ["build"], worker=worker, lease_seconds=3600, limit=limit)

    def take(self, jobs: list[Job]) -> None:
        for job in jobs:
            row = self.rows[job.id]
            row.state, row.attempts, row.worker, row.expired = "running", row.attempts + 1, job.worker, False
            assert job.attempts == row.attempts
            self.claimed.append(job)

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), commit=st.sampled_from([True, True, True, False]))
    def complete(self, data: st.DataObject, commit: bool) -> None:
        job = data.draw(self.a_claim())
        row = self.owns(job)
        assert self.run(lambda connection: claims.complete(connection, job), commit=commit) is (row is not None)
        if row is not None and commit:
            row.completions += 1
            self.settle(row, "done")

    @precondition(lambda self: self.in_state("running"))
    @rule(data=st.data(), rest_seconds=st.sampled_from([0.0, 0.0, 7200.0]))
    def fail(self, data: st.DataObject, rest_seconds: float) -> None:
        job = data.draw(self.a_claim())
        row = self.owns(job)
        state = self.run(lambda connection: claims.fail(connection, job, rest_seconds=rest_seconds, error="no luck"))
        assert state == (self.rest(row) if row is not None else None)

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def bury(self, data: st.DataObject) -> None:
        job = data.draw(self.a_claim())
        row = self.owns(job)
        assert self.run(lambda connection: claims.bury(connection, job, error="GiveUp")) is (row is not None)
        if row is not None:
            self.settle(row, "dead")

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), rest_seconds=st.sampled_from([0.0, 7200.0]))
    def release(self, data: st.DataObject, rest_seconds: float) -> None:
        job = data.draw(self.a_claim())
        row = self.owns(job)
        released = self.run(lambda connection: claims.release(connection, job, rest_seconds=rest_seconds))
        assert released is (row is not None)
        if row is not None:
            self.settle(row, "ready")
            row.max_attempts += 1

    @precondition(lambda self: self.claimed)
    @rule(worker=st.sampled_from(WORKERS), woken=st.booleans())
    def heartbeat(self, worker: str, woken: bool) -> None:
        """A worker renews all it believes to have; one that was just woken believes in what it lost long ago."""
        jobs = [job for job in self.claimed if job.worker == worker and not (woken and self.owns(job))]
        mine = {job.id for job in jobs if self.owns(job)}
        kept = self.run(lambda connection: claims.extend(connection, jobs, worker=worker, lease_seconds=3600))
        assert kept == mine
        for job_id in mine:
            self.rows[job_id].expired = False

    @precondition(lambda self: self.in_state("done"))
    @rule()
    def find_done(self) -> None:
        """A worker that did not hear the answer to its last word asks which of its claims were the last."""
        done = self.run(lambda connection: claims.find_done(connection, self.claimed))
        assert done == {row.id for row in self.in_state("done")}

    def a_claim(self) -> st.SearchStrategy[Job]:
        """The claims that count more often than those of zombies."""
        mine = [job for job in self.claimed if self.owns(job)]
        return st.sampled_from(self.claimed) if not mine else st.sampled_from(mine) | st.sampled_from(self.claimed)

    # --- time and sweeping ---------------------------------------------------------------------------------

    @precondition(lambda self: self.in_state("running"))
    @rule(data=st.data())
    def let_a_lease_run_out(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.in_state("running")))
        self.move(row.id, "lease_until", -timedelta(seconds=1))
        row.expired = True
        self.look_for_expired()

    @precondition(lambda self: any(not row.due for row in self.rows.values()))
    @rule(data=st.data())
    def let_a_job_become_due(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from([row for row in self.rows.values() if not row.due]))
        self.move(row.id, "run_at", timedelta())
        self.observed()

    def look_for_expired(self) -> None:
        """A sweeper looks now and acts later; by then the worker may have come back."""
        found = self.run(lambda connection: claims.find_expired(connection, self.queue))
        assert {job.id for job in found} == {row.id for row in self.rows.values() if row.expired}
        self.seen_expired += found

    @precondition(lambda self: self.seen_expired)
    @rule(data=st.data(), renewed=st.booleans())
    def expire(self, data: st.DataObject, renewed: bool) -> None:
        current = [job for job in self.seen_expired if self.owns(job)]
        job = data.draw(st.sampled_from(current or self.seen_expired))
        row = self.owns(job)
        if row is not None and renewed:
            worker = str(job.worker)
            assert self.run(lambda connection: claims.extend(connection, [job], worker=worker, lease_seconds=3600))
            row.expired = False
        state = self.run(lambda connection: claims.expire(connection, job))
        assert state == (self.rest(row) if row is not None and row.expired else None)

    @precondition(lambda self: any(row.expired for row in self.rows.values()))
    @rule(data=st.data(), in_time=st.booleans())
    def complete_while_it_expires(self, data: st.DataObject, in_time: bool) -> None:
        """The worker's last word and the sweeper's come at once: the later one waits, and finds that it is too late."""
        expired = [job for job in self.claimed if (row := self.owns(job)) and row.expired]
        job = data.draw(st.sampled_from(expired))
        row = self.rows[job.id]
        acts = [claims.complete, claims.expire] if in_time else [claims.expire, claims.complete]
        first, second = self.runner.run(self.overlapping(*[partial(act, job=job) for act in acts]))
        if in_time:
            assert (first, second) == (True, None)
            row.completions += 1
            self.settle(row, "done")
        else:
            assert (first, second) == (self.rest(row), False)

    async def overlapping(
        self, first: Callable[[AsyncConnection], Awaitable[Any]], second: Callable[[AsyncConnection], Awaitable[Any]]
    ) -> tuple[Any, Any]:
        """Act in a transaction that is committed when another one is waiting for it."""

        async def follow() -> Any:
            async with whole(self.database).begin() as connection:
                return await second(connection)

        async with whole(self.database).begin() as connection:
            said = await first(connection)
            following = asyncio.create_task(follow(), name="tests.follow")
            async with asyncio.timeout(10):
                while not following.done():
                    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                    if (await connection.execute(waiting)).scalar_one():
                        break
        return said, await following

    @precondition(lambda self: self.in_state("done"))
    @rule()
    def prune(self) -> None:
        done = [row.id for row in self.in_state("done")]
        assert self.run(lambda connection: claims.prune(connection, self.queue, after_seconds=-60)) == len(done)
        for job_id in done:
            del self.rows[job_id]
            self.gone.append(job_id)

    # --- operators -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.in_state("dead"))
    @rule(data=st.data(), expected_state=st.sampled_from(["dead", "dead", "dead", "running"]))
    def requeue_dead(self, data: st.DataObject, expected_state: str) -> None:
        self.requeue(data.draw(st.sampled_from(self.in_state("dead"))), expected_state)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def requeue_any(self, data: st.DataObject) -> None:
        self.requeue(data.draw(st.sampled_from(list(self.rows.values()))), "dead")

    def requeue(self, row: Row, expected_state: str) -> None:
        equal = [one for one in self.rows.values() if row.dedupe and one.dedupe == row.dedupe and one is not row]
        if (row.state, expected_state) != ("dead", "dead") or any(one.state in UNFINISHED for one in equal):
            with pytest.raises(JobStateChanged):
                self.run(lambda connection: requeue(connection, row.id, expected_state=expected_state, attempts=2))
            return
        job = self.run(lambda connection: requeue(connection, row.id, expected_state=expected_state, attempts=2))
        row.state = "ready" if self.head(row.key) is None else "waiting"
        row.max_attempts = row.attempts + 2
        assert (job.state, job.max_attempts) == (row.state, row.max_attempts)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), state=st.sampled_from(["dead", "ready", "waiting", "running", "done"]))
    def drop(self, data: st.DataObject, state: str) -> None:
        row = data.draw(self.a_row(state))
        if row.state != state or state in ("running", "done"):
            with pytest.raises(JobStateChanged):
                self.run(lambda connection: drop(connection, row.id, expected_state=state))
            return
        self.run(lambda connection: drop(connection, row.id, expected_state=state))
        del self.rows[row.id]
        self.gone.append(row.id)
        if state == "ready":
            self.promote(row.key)

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def mend_what_is_not_there(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(self.gone))
        for act in (requeue, drop):
            with pytest.raises(JobNotFound):
                self.run(lambda connection, act=act: act(connection, job_id))  # type: ignore[misc]

    def a_row(self, state: str) -> st.SearchStrategy[Row]:
        rows = list(self.rows.values())
        fitting = [row for row in rows if row.state == state]
        return st.sampled_from(rows) if not fitting else st.sampled_from(fitting) | st.sampled_from(rows)

    # --- what always holds ---------------------------------------------------------------------------------

    @invariant()
    def the_table_is_as_the_model_says(self) -> None:
        found = self.observed()
        assert {job.id: (job.state, job.attempts, job.max_attempts, job.worker) for job in found.values()} == {
            row.id: (row.state, row.attempts, row.max_attempts, row.worker) for row in self.rows.values()
        }

    @invariant()
    def no_job_is_finished_twice(self) -> None:
        assert all(row.completions <= 1 for row in self.rows.values())

    @invariant()
    def a_key_has_one_head_and_never_waits_without_one(self) -> None:
        for key in ("a", "b"):
            rows = [row for row in self.rows.values() if row.key == key]
            heads = [row for row in rows if row.state in ("ready", "running")]
            assert len(heads) <= 1
            assert heads or not any(row.state == "waiting" for row in rows)

    def teardown(self) -> None:
        """Whatever was left: workers that behave bring every job to its end, each key in its order."""
        (stats,) = self.run(lambda connection: read_stats(connection, [self.queue]))
        states = [row.state for row in self.rows.values()]
        assert (stats.depth, stats.pending, stats.dead) == (
            states.count("ready") + states.count("waiting"), states.count("running"), states.count("dead"),
        )  # fmt: skip
        for row in self.rows.values():
            if row.state == "running":
                self.move(row.id, "lease_until", -timedelta(seconds=1))
                row.expired = True
            elif not row.due:
                self.move(row.id, "run_at", timedelta())
        for job in self.run(lambda connection: claims.find_expired(connection, self.queue)):
            self.run(lambda connection, job=job: claims.expire(connection, job))  # type: ignore[misc]
        while jobs := self.run(lambda connection: self.claim_on(connection, "last", 100)):
            keys = [job.key for job in jobs if job.key is not None]
            assert len(keys) == len(set(keys))
            for job in jobs:
                assert self.run(lambda connection, job=job: claims.complete(connection, job))  # type: ignore[misc]
        left = self.run(lambda connection: list_jobs(connection, self.queue, limit=10_000))
        assert {job.id for job in left} == set(self.rows)
        assert {job.state for job in left} <= {"done", "dead"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One database for all examples."""
    with fresh_url() as address:
        yield address


def test_whatever_happens_the_queue_is_as_its_model_says(url: str) -> None:
    with asyncio.Runner() as runner:
        opened = open_database(url, room="tests", connections=6)
        database = runner.run(opened.__aenter__())
        try:
            explore(lambda: QueueMachine(database, runner), examples=25, steps=40)
        finally:
            runner.run(opened.__aexit__(None, None, None))
