"""StreamAudio under a client that repeats, skips, falls silent, breaks off and comes back: the text is the undisturbed
one, each refusal names what is missing, and what was said to be durable is never asked for again."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ingest.v1 import audio_service_pb2 as pb
from kit.rpc.status import error_of
from tests.effort import effort
from tests.integration.ingest.running import (
    Neighbourhood,
    connected,
    finished,
    heard,
    interview,
    refused,
    rest,
    running_ingest,
    segments,
    spoken,
    start_meeting,
    until_durable,
)


@dataclass(frozen=True, slots=True)
class Connection:
    """What the client does on one connection, from where the server asks it to go on."""

    sent: int
    """New messages."""
    repeated: int
    """Messages before those that are sent once more, first."""
    waits: bool
    """Whether it waits until they are durable."""
    ending: str
    """cut, close, hole (of `skipped` messages), old_epoch (another one with an older epoch tries), taken_over."""
    skipped: int


connections = st.builds(
    Connection,
    sent=st.integers(0, 14),
    repeated=st.sampled_from([0, 0, 1, 5, 40]),
    waits=st.booleans(),
    ending=st.sampled_from(["cut", "close", "hole", "old_epoch", "taken_over"]),
    skipped=st.integers(1, 20),
)


class Client:
    """One session's client: it remembers what it was promised, and holds the server to it."""

    def __init__(self, near: Neighbourhood, meeting_id: str, requests: list[pb.StreamAudioRequest]) -> None:
        self.near = near
        self.meeting_id = meeting_id
        self.requests = requests
        self.epoch = 0
        self.promised = self.sent = 0

    def connect(self) -> Any:
        self.epoch += 1
        return connected(self.near.ingest.user, self.meeting_id, "s", epoch=self.epoch)

    def told(self, opened: pb.SessionOpened) -> int:
        """Check where the server wants to go on; returns that."""
        assert self.promised < opened.next_sequence <= self.sent + 1
        self.promised = opened.next_sequence - 1
        return int(opened.next_sequence)

    async def hold(self, step: Connection) -> None:
        async with self.connect() as (call, opened):
            position = self.told(opened)
            end = min(position - 1 + step.sent, len(self.requests) - 1)  # the last is `end`, which comes at the end
            for request in self.requests[max(0, position - 1 - step.repeated) : end]:
                await call.write(request)
            self.sent = max(self.sent, end)
            if step.waits and end > self.promised:
                self.promised = await until_durable(call, end)
            await self.leave(call, step, end)

    async def leave(self, call: Any, step: Connection, end: int) -> None:
        match step.ending:
            case "close":
                await call.done_writing()
                await rest(call)
            case "hole" if end + step.skipped < len(self.requests):
                await call.write(self.requests[end + step.skipped])
                problem = await refused(rest(call))
                assert (problem.code, problem.reason) == (
                    grpc.StatusCode.OUT_OF_RANGE,
                    "ERROR_REASON_SEQUENCE_GAP",
                )
                assert problem.metadata == {"from": str(end + 1), "to": str(end + step.skipped)}
            case "old_epoch":
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    async with connected(self.near.ingest.user, self.meeting_id, "s", epoch=self.epoch - 1):
                        pass
                assert error_of(caught.value).reason == "ERROR_REASON_EPOCH_FENCED"
            case "taken_over":
                async with self.connect() as (_, opened):
                    self.told(opened)
                    problem = await refused(rest(call))
                    assert problem.reason == "ERROR_REASON_EPOCH_FENCED"

    async def finish(self) -> None:
        async with self.connect() as (call, opened):
            position = self.told(opened)
            writing = asyncio.create_task(self.write(call, position), name="tests.write")
            assert await until_durable(call, len(self.requests)) == len(self.requests)
            await writing

    async def write(self, call: Any, position: int) -> None:
        for request in self.requests[position - 1 :]:
            await call.write(request)


async def hold_session(near: Neighbourhood, steps: list[Connection]) -> None:
    meeting_id = await start_meeting(near.ingest.user)
    script = interview(utterances=2)
    client = Client(near, meeting_id, script.requests)
    for step in steps:
        await client.hold(step)
    await client.finish()
    await finished(near.ingest.user, meeting_id)
    assert heard(await segments(near.ingest.user, meeting_id)) == spoken(script)


async def test_whatever_a_connection_goes_through_the_text_is_the_undisturbed_one(
    database_url: str, tmp_path: Path
) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        loop = asyncio.get_running_loop()

        @given(st.lists(connections, max_size=5))
        @effort(12)
        def explore(steps: list[Connection]) -> None:
            asyncio.run_coroutine_threadsafe(hold_session(near, steps), loop).result(60)

        await asyncio.to_thread(explore)
