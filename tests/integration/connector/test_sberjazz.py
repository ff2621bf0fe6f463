"""SberJazz by its contract, against the stand-in: each chunk once, in order, on one timeline; faults cost no sound."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

import httpx2
import numpy as np
import pytest

from kit.clock import monotonic
from kit.errors import Unavailable
from services.connector.provider import Basis, CallRefused, JoinSpec, ProviderAway, PullSource, Surroundings
from services.connector.providers.sberjazz import SberJazzProvider
from services.connector.providers.sberjazz_contract import Encoding
from services.connector.providers.sberjazz_http import Connecting, open_client
from services.connector.providers.sberjazz_mock.calls import Stay
from services.connector.providers.sberjazz_mock.faults import Fault, Planned
from services.connector.providers.sberjazz_mock.server import DEFAULT_TOKEN, SberJazzMock, open_mock
from services.connector.providers.sberjazz_mock.voices import Voice
from services.connector.providers.sberjazz_source import SberJazzSource
from tests.fakes.chunk_sink import MemoryChunks, Notes
from tests.kit_server import eventually

ANNA = Voice("p-1", "Anna", np.random.default_rng(1).integers(-9_000, 9_000, 16_000 * 60).astype(np.int16))
BORIS = Voice("p-2", "Boris", np.random.default_rng(2).integers(-9_000, 9_000, 16_000 * 60).astype(np.int16))
CHUNK_MS = 100
NOTICE = "This call is recorded."


@dataclass
class Call:
    """What a test talks to."""

    mock: SberJazzMock
    provider: SberJazzProvider
    connecting: Connecting
    chunks: MemoryChunks
    notes: Notes

    def joined(
        self, cursor: str = "", withdrawn: frozenset[str] = frozenset()
    ) -> AbstractAsyncContextManager[SberJazzSource]:
        """Join, with what an earlier source remembered."""
        spec = JoinSpec("m-1", "acme", language="en", session_id="s-1", cursor=cursor, withdrawn=withdrawn)
        return self.provider.open_pull(spec, self.chunks, self.notes, rejoin=bool(cursor))

    def plan(self, fault: Fault, times: int = 1, operation: str = "", retry_after: float | None = None) -> None:
        """Ask for a fault."""
        self.mock.faults.planned.append(Planned(fault, times, operation, retry_after))

    @property
    def stay(self) -> Stay:
        """The recorder's stay."""
        stay = self.mock.calls.latest("m-1")
        assert stay is not None
        return stay

    async def pull_until(self, source: PullSource, chunks: int, limit: int = 100) -> None:
        """Pull until so many chunks are there."""
        async with asyncio.timeout(30):
            while len(self.chunks.chunks) < chunks:
                await source.pull(limit)
                await asyncio.sleep(0.01)

    def check_whole(self, *voices: Voice) -> None:
        """Check that what is there of each voice is its beginning, whole, in its place."""
        for voice in voices or (ANNA, BORIS):
            said = self.chunks.said(voice.participant_id)
            assert said == voice.between(0, len(said) // 2), voice.name
            own = [chunk for chunk in self.chunks.chunks if chunk.participant_id == voice.participant_id]
            assert [chunk.start_ms for chunk in own] == [number * CHUNK_MS for number in range(len(own))]


@asynccontextmanager
async def running_call(*, retries: int = 2, timeout_seconds: float = 5.0) -> AsyncIterator[Call]:
    """Run a stand-in and a provider that reaches it."""
    async with open_mock([ANNA, BORIS], chunk_seconds=CHUNK_MS / 1000) as (mock, url):
        connecting = Connecting(url, DEFAULT_TOKEN, timeout_seconds, retries, backoff_seconds=0.01)
        provider = SberJazzProvider(connecting, Surroundings("http://127.0.0.1:1", None, notice=NOTICE))
        yield Call(mock, provider, connecting, MemoryChunks(), Notes())


async def test_every_voice_comes_whole_to_the_last_moment_before_the_leave() -> None:
    async with running_call() as call:
        async with call.joined() as source:
            await call.pull_until(source, 6, limit=4)
            assert [(heard.display_name, heard.muted) for heard in source.participants] == [
                ("Anna", False),
                ("Boris", False),
            ]
            assert await source.status() == "connected"
        assert call.mock.bodies["m-1"].notice == NOTICE
        assert call.notes.events == [
            ("entered",),
            ("live",),
            ("told", "p-1", "Anna", "chat"),
            ("told", "p-2", "Boris", "chat"),
        ]
        assert call.stay.state == "ended"
        call.check_whole()
        assert call.stay.ended_at is not None
        length = int((call.stay.ended_at - call.stay.began_at) * 16_000)
        assert {len(call.chunks.said(each)) // 2 for each in ("p-1", "p-2")} == {length}
        first = call.chunks.chunks[0]
        assert (first.display_name, first.basis, first.encoding) == ("Anna", Basis.OWN_TRACK, "s16le")


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (Fault.DUPLICATES, 2),
        (Fault.OUT_OF_ORDER, 2),
        (Fault.LATE, 2),
        (Fault.TOO_MANY, 2),
        (Fault.SERVER_ERROR, 2),
        (Fault.AWAY, 2),
    ],
)
async def test_a_fault_that_passes_costs_nothing(fault: Fault, times: int) -> None:
    async with running_call() as call:
        async with call.joined() as source:
            call.plan(fault, times, "live-pull")
            await call.pull_until(source, 8, limit=3)
        assert not call.mock.faults.planned
        call.check_whole()


@pytest.mark.parametrize("fault", [Fault.NEGATIVE_SEQUENCE, Fault.GARBAGE_AUDIO])
async def test_a_chunk_that_cannot_be_read_costs_itself_alone(fault: Fault) -> None:
    async with running_call() as call, call.joined() as source:
        call.plan(fault, 1, "live-pull")
        invalid = 0
        async with asyncio.timeout(30):
            while len(call.chunks.chunks) < 6:
                invalid += (await source.pull(100)).invalid
        assert invalid == 1
        call.check_whole(BORIS)


@pytest.mark.parametrize("fault", [Fault.TOO_MANY, Fault.SERVER_ERROR])
async def test_a_provider_that_stays_broken_is_away_after_the_retries(fault: Fault) -> None:
    async with running_call(retries=2) as call:
        async with call.joined() as source:
            call.plan(fault, 3, "live-pull")
            with pytest.raises(ProviderAway, match=fault.value):
                await source.pull(10)
            assert call.mock.requests["live-pull"] == 3
            await call.pull_until(source, 4)  # and nothing was lost
        call.check_whole()


BROKEN = [Fault.NOT_JSON, Fault.WRONG_TYPES, Fault.ENDLESS]


@pytest.mark.parametrize("fault", [Fault.EXPIRED_TOKEN, *BROKEN])
async def test_a_join_that_asking_again_does_not_help_is_asked_once(fault: Fault) -> None:
    async with running_call() as call:
        call.plan(fault, 1, "join")
        with pytest.raises(CallRefused):
            async with call.joined():
                pass
        assert call.mock.requests["join"] == 1


async def test_a_token_that_expires_in_the_call_is_told_at_once() -> None:
    async with running_call() as call, call.joined() as source:
        call.plan(Fault.EXPIRED_TOKEN, 1, "live-pull")
        with pytest.raises(CallRefused, match="token_expired"):
            await source.pull(10)
        assert call.mock.requests["live-pull"] == 1


@pytest.mark.parametrize("fault", BROKEN)
async def test_an_unreadable_answer_in_the_call_is_not_asked_for_again_and_ends_nothing(fault: Fault) -> None:
    async with running_call() as call:
        async with call.joined() as source:
            call.plan(fault, 1, "live-pull")
            with pytest.raises(ProviderAway):
                await source.pull(10)
            assert call.mock.requests["live-pull"] == 1
            await call.pull_until(source, 4)
        call.check_whole()


async def test_a_wrong_token_is_refused_and_says_which_setting_to_change() -> None:
    async with running_call() as call:
        provider = SberJazzProvider(
            Connecting(call.connecting.base, "another-token"), Surroundings("http://127.0.0.1:1", None)
        )
        with pytest.raises(CallRefused, match="SBERJAZZ_API_TOKEN") as refused:
            await provider.probe()
        assert "another-token" not in str(refused.value) + repr(provider._connecting)


async def test_a_provider_that_does_not_answer_in_time_is_away() -> None:
    async with running_call(retries=1, timeout_seconds=0.2) as call, call.joined() as source:
        call.plan(Fault.TIMEOUT, 2, "live-pull")
        with pytest.raises(ProviderAway, match="did not answer within"):
            await source.pull(10)
        await call.pull_until(source, 2)


async def test_the_provider_says_how_long_to_wait_within_a_bound() -> None:
    async with running_call() as call, call.joined() as source:
        call.plan(Fault.TOO_MANY, 1, "live-pull", retry_after=0.5)
        began = monotonic()
        await source.pull(10)
        assert monotonic() - began >= 0.5
        call.plan(Fault.TOO_MANY, 1, "live-pull", retry_after=3600)
        with pytest.raises(ProviderAway):
            await source.pull(10)
        assert call.mock.requests["live-pull"] == 3


async def test_a_connector_that_comes_back_goes_on_where_it_was() -> None:
    async with running_call() as call:
        first = asyncio.Event()
        cursor = ""

        async def record() -> None:
            nonlocal cursor
            async with call.joined() as source:
                while True:
                    cursor = (await source.pull(3)).cursor
                    if len(call.chunks.chunks) >= 5:
                        first.set()
                    await asyncio.sleep(0.01)

        recording = asyncio.create_task(record())
        async with asyncio.timeout(30):
            await first.wait()
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)
        assert call.stay.state == "connected", "a connector that is being stopped leaves the recorder in the call"
        async with call.joined(cursor) as source:
            await call.pull_until(source, 10)
        call.check_whole()
        assert len(call.mock.calls.stays["m-1"]) == 1


async def test_what_is_left_of_a_stay_that_ended_while_the_connector_was_away_is_fetched() -> None:
    async with running_call() as call:
        with suppress(asyncio.CancelledError):
            async with call.joined() as source:
                await call.pull_until(source, 4)
                raise asyncio.CancelledError  # as a session does it that another connector goes on with
        await eventually(lambda: call.stay.age_ms >= 1_000, 30)
        call.stay.end()
        first = call.stay
        async with call.joined(source.cursor):
            assert call.stay is not first
            call.check_whole()
            assert len(call.chunks.said("p-1")) // 32 >= 1_000


async def test_another_stay_goes_on_on_the_same_timeline() -> None:
    async with running_call() as call:
        async with call.joined() as source:
            await call.pull_until(source, 4)
            cursor = source.cursor
        first_end = max(chunk.start_ms or 0 for chunk in call.chunks.chunks)
        before = len(call.chunks.chunks)
        async with call.joined(cursor) as source:
            await call.pull_until(source, before + 2)
        again = call.chunks.chunks[before:]
        assert (next(chunk.start_ms for chunk in again if chunk.participant_id == "p-1") or 0) > first_end
        assert len(call.mock.calls.stays["m-1"]) == 2


async def test_a_recorder_that_was_thrown_out_says_so_and_comes_back() -> None:
    async with running_call() as call, call.joined() as source:
        await call.pull_until(source, 2)
        call.stay.throw_out()
        assert await source.status() == "disconnected"
        cursor = source.cursor
        async with call.joined(cursor) as back:
            assert await back.status() == "connected"
            await call.pull_until(back, 6)


async def test_while_ingest_is_away_nothing_is_lost() -> None:
    async with running_call() as call:
        async with call.joined() as source:
            await call.pull_until(source, 2)
            call.chunks.away = True
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await call.pull_until(source, 1_000)
            call.chunks.away = False
            await call.pull_until(source, 8)
        call.check_whole()


async def test_nothing_is_stored_of_who_withdrew_from_that_moment_on() -> None:
    async with running_call() as call:
        async with call.joined() as source:
            await call.pull_until(source, 4)
            assert source.withdraw("p-1")
            assert not source.withdraw("nobody")
            withdrawn_ms = call.stay.age_ms
            await call.pull_until(source, 14)
            assert [heard.withdrawn for heard in source.participants] == [True, False]
        assert ("withdrew", "p-1") in call.notes.events
        assert len(call.chunks.said("p-1")) / 32 <= withdrawn_ms
        call.check_whole()
        call.chunks.chunks.clear()
        async with call.joined(withdrawn=frozenset({"p-1"})) as source:
            await call.pull_until(source, 3)
        assert not call.chunks.said("p-1")


async def test_a_call_that_is_over_or_unknown_is_refused() -> None:
    async with running_call() as call:
        spec = JoinSpec("m-2", "acme", meeting_url="https://jazz.example.org/no-such-call")
        with pytest.raises(CallRefused, match="call_not_found"):
            async with call.provider.open_pull(spec, call.chunks, call.notes, rejoin=False):
                pass
        for wrong in ("mailto:a@b.example", "jazz.example.org/x", "https://jazz.example.org", "http://[", "https:///x"):
            with pytest.raises(CallRefused, match="https://host/CALL"):
                async with call.provider.open_pull(
                    JoinSpec("m-2", "acme", meeting_url=wrong), call.chunks, call.notes, rejoin=False
                ):
                    pass


async def test_the_stand_in_shows_itself_and_takes_faults_over_http() -> None:
    async with running_call() as call, httpx2.AsyncClient(base_url=call.connecting.base, trust_env=False) as http:
        assert (await http.get("/mock")).status_code == 401
        http.headers["authorization"] = f"Bearer {DEFAULT_TOKEN}"
        assert (await http.post("/mock/faults", content=json.dumps({"fault": "earthquake"}))).status_code == 400
        asked = {"fault": "500", "times": 5, "operation": "status"}
        assert (await http.post("/mock/faults", content=json.dumps(asked))).json() == {"planned": 1}
        async with call.joined() as source:
            with pytest.raises(ProviderAway):
                await source.status()
            shown = (await http.get("/mock")).json()
            assert shown["meetings"]["m-1"]["state"] == "connected"
            assert shown["faults"] == [{"fault": "500", "times": 2, "operation": "status"}]
            assert (await http.delete("/mock/faults")).json() == {"planned": 0}
            await http.post("/mock/meetings/m-1/end")
            assert await source.status() == "ended"


async def test_chunks_may_be_files_and_the_address_may_be_ipv4_alone() -> None:
    async with open_mock([ANNA], chunk_seconds=0.1, encoding=Encoding.WAV) as (_, url):
        connecting = Connecting(url, DEFAULT_TOKEN, force_ipv4=True)
        provider = SberJazzProvider(connecting, Surroundings("http://127.0.0.1:1", None))
        chunks = MemoryChunks()
        async with provider.open_pull(JoinSpec("m-1", "acme"), chunks, Notes(), rejoin=False) as source:
            async with asyncio.timeout(30):
                while not chunks.chunks:
                    await source.pull(10)
        assert chunks.chunks[0].encoding == ""
        assert chunks.chunks[0].content[:4] == b"RIFF"


async def test_nobody_there_is_away_after_the_retries() -> None:
    connecting = Connecting("http://127.0.0.1:1", "token", retries=1, backoff_seconds=0.01)
    async with open_client(connecting, ssl.create_default_context()) as client:
        with pytest.raises(ProviderAway, match="cannot be reached") as away:
            await client.status("m-1")
    assert "127.0.0.1" not in str(away.value)
