"""Calls that keep their audio: what is fetched, what is tried again, what makes a session reconnect, how it ends."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from kit.rpc.client import open_channel
from services.connector.breakers.breaker import THRESHOLD
from services.connector.breakers.breakers import Breakers
from services.connector.errors import ProviderBreakerOpen, ProviderFailed
from services.connector.provider import Chunk, JoinSpec
from services.connector.reconciliation.decision import Action, Decision, Source
from services.connector.reconciliation.live_pull import LivePull, LivePullOptions, PullRun
from services.connector.sessions.record import State
from services.connector.sessions.session import SessionOptions
from services.connector.sessions.sessions import Sessions, open_sessions
from tests.fakes.keepers import MemoryBreakers, memory_keepers
from tests.fakes.pull_provider import ScriptedPulls, pull_registry
from tests.fakes.session_ledger import MemoryLedger
from tests.kit_server import eventually

SPEC = JoinSpec("m-1", "acme")
CHUNK = bytes(3200)


class Taken:
    """A way to ingest that knows every chunk it had."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.finished = 0

    async def put(self, chunk: Chunk) -> bool:
        """Take a chunk, unless it is known."""
        known = chunk.key in self.keys
        self.keys.append(chunk.key)
        return not known

    async def finish(self) -> None:
        """Nothing more comes."""
        self.finished += 1


class Decisions:
    """A ledger of decisions in memory."""

    def __init__(self) -> None:
        self.made: list[Decision] = []

    async def add(self, decision: Decision) -> None:
        """Write a decision down."""
        self.made.append(decision)

    async def page(
        self, tenant_id: str, size: int, before: int | None, *, provider: str = "", meeting_id: str = ""
    ) -> list[Decision]:
        """Return all."""
        return self.made

    async def forget(self) -> None:
        """Keep all."""


@dataclass
class Pulling:
    """What a test talks to."""

    provider: ScriptedPulls
    sessions: Sessions
    ledger: MemoryLedger
    taken: Taken
    decisions: Decisions
    live_pull: LivePull

    async def run(self) -> PullRun:
        """Do one run of live pull."""
        return await self.live_pull.run(Source.OPERATOR)


@asynccontextmanager
async def pulling(
    provider: ScriptedPulls | None = None,
    *,
    ledger: MemoryLedger | None = None,
    retries: int = 0,
    idempotent_seconds: float = 60.0,
) -> AsyncIterator[Pulling]:
    """Hold the sessions of a replica for the block."""
    provider, ledger, taken, decisions = provider or ScriptedPulls(), ledger or MemoryLedger(), Taken(), Decisions()
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(open_channel("127.0.0.1:1", api_key=None))
        keepers = replace(memory_keepers(ledger, channel), chunks=lambda spec, name: taken)
        keepers = replace(keepers, breakers=Breakers(MemoryBreakers()))
        options = SessionOptions(backlog_bytes=1, ack_seconds=1.0, finish_seconds=5.0, rejoin_seconds=5.0)
        sessions = await stack.enter_async_context(
            open_sessions(pull_registry(provider), channel, keepers, options, idempotent_seconds=idempotent_seconds)
        )
        bounds = LivePullOptions(batch_limit=4, retries=retries, retry_backoff_seconds=0.0, reconnect_threshold=3)
        yield Pulling(provider, sessions, ledger, taken, decisions, LivePull(sessions, decisions, bounds))


async def test_chunks_are_fetched_in_batches_and_the_cursor_is_kept() -> None:
    async with pulling() as pull:
        pull.provider.chunks = [CHUNK] * 6
        record = await pull.sessions.join(SPEC)
        assert (record.state, record.provider) == (State.LIVE, "pull")
        first, second = await pull.run(), await pull.run()
        assert (first.scanned, first.connected, first.pulled, first.ingested) == (1, 1, 4, 4)
        assert (second.pulled, second.failed) == (2, 0)
        left = await pull.sessions.leave("acme", "m-1", "done")
    assert (left.state, left.reason, left.cursor) == (State.ENDED, "done", "6")
    assert (pull.taken.keys, pull.taken.finished) == ([str(number) for number in range(6)], 1)
    assert pull.provider.left == 1


async def test_only_a_provider_that_is_away_is_asked_again() -> None:
    async with pulling(retries=2) as pull:
        await pull.sessions.join(SPEC)
        pull.provider.chunks, pull.provider.away = [CHUNK], 2
        assert (await pull.run()).ingested == 1
        assert pull.provider.pulls == 3
        pull.provider.refuses = "no such call"
        assert (await pull.run()).failed == 1
        assert pull.provider.pulls == 4
        await eventually(lambda: not pull.sessions.active)
        record = await pull.sessions.find("acme", "m-1")
    assert (record.state, record.reason) == (State.FAILED, "no such call")
    assert pull.taken.finished == 1, "what was heard is a whole recording"


async def test_failures_in_a_row_make_the_session_reconnect() -> None:
    async with pulling() as pull:
        await pull.sessions.join(SPEC)
        pull.provider.away = 3
        runs = [await pull.run() for _ in range(3)]
        assert [run.failed for run in runs] == [1, 1, 1]
        assert [run.reconnected for run in runs] == [0, 0, 1]
        await eventually(lambda: len(pull.provider.joins) == 2)
        (decision,) = pull.decisions.made
        assert (decision.action, decision.observed) == (Action.RECONNECT, "3 pulls in a row failed")
        pull.provider.chunks = [CHUNK]
        await eventually(lambda: pull.sessions.active[0].record.state is State.LIVE)
        assert (await pull.run()).ingested == 1
        states = [step.after for step in reversed(pull.ledger.steps[pull.sessions.active[0].record.session_id])]
        assert states[:2] == [State.LIVE, State.RECONNECTING]


async def test_a_session_is_handed_over_in_the_call_and_goes_on_from_its_cursor() -> None:
    provider, ledger = ScriptedPulls(), MemoryLedger()
    provider.chunks = [CHUNK] * 6
    async with pulling(provider, ledger=ledger) as first:
        await first.sessions.join(SPEC)
        await first.run()
    (record,) = ledger.records.values()
    assert (record.state, record.held, record.cursor) == (State.RECONNECTING, False, "4")
    assert provider.left == 0
    async with pulling(provider, ledger=ledger) as second:
        taken = await ledger.claim(record, "taken up")
        assert taken is not None
        second.sessions.take_up(taken)
        await eventually(lambda: second.sessions.active[0].record.state is State.LIVE)
        assert (await second.run()).ingested == 2
        assert provider.joins == [(False, ""), (True, "4")]
        await second.sessions.leave("acme", "m-1", "")
    assert provider.left == 1


async def test_a_repeated_join_asks_the_provider_only_when_nothing_was_heard_of_it_for_long() -> None:
    async with pulling() as pull:
        first = await pull.sessions.join(SPEC)
        pull.provider.state = "disconnected"
        assert (await pull.sessions.join(SPEC)).session_id == first.session_id
        assert len(pull.provider.joins) == 1
    async with pulling(idempotent_seconds=0.0) as pull:
        first = await pull.sessions.join(SPEC)
        pull.provider.state = "disconnected"
        again = await pull.sessions.join(SPEC)
        assert (again.session_id, again.state) == (first.session_id, State.LIVE)
        assert [rejoin for rejoin, _ in pull.provider.joins] == [False, True]


async def test_a_provider_that_is_away_again_and_again_is_left_alone_at_once() -> None:
    async with pulling() as pull:
        pull.provider.away = THRESHOLD
        for _ in range(THRESHOLD):
            with pytest.raises(ProviderFailed):
                await pull.sessions.join(SPEC)
        asked = len(pull.ledger.records)
        with pytest.raises(ProviderBreakerOpen) as caught:
            await pull.sessions.join(SPEC)
        assert (caught.value.retry_after_seconds or 0) > 1
        assert len(pull.ledger.records) == asked
