"""A client of StreamAudio that loses nothing: what clients of this room have to do, in fifty lines."""

import asyncio
from typing import Any

import grpc

from tests.integration.ingest.running import Script, Stubs, connected


class Uplink:
    """A client that keeps what is not durable and sends it again over as many connections as it takes."""

    def __init__(self, client: Stubs, meeting_id: str, script: Script, pace_seconds: float = 0.002) -> None:
        self.durable = 0
        self.epoch = 0
        self.promised: list[int] = []
        """What the server had promised when each connection began."""
        self._client = client
        self._meeting_id = meeting_id
        self._requests = script.requests
        self._pace_seconds = pace_seconds

    async def run(self) -> None:
        """Send the whole script and return when all of it is durable."""
        while self.durable < len(self._requests):
            self.epoch += 1
            try:
                async with connected(self._client, self._meeting_id, "s", self.epoch) as (call, opened):
                    self.promised.append(self.durable)
                    assert opened.next_sequence > self.durable, "what was durable is gone"
                    self.durable = opened.next_sequence - 1
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._read(call))
                        tasks.create_task(self._write(call, opened.next_sequence))
            except* (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
                await asyncio.sleep(0.05)

    async def _write(self, call: Any, sequence: int) -> None:
        for request in self._requests[sequence - 1 :]:
            await call.write(request)
            await asyncio.sleep(self._pace_seconds)

    async def _read(self, call: Any) -> None:
        while self.durable < len(self._requests):
            async with asyncio.timeout(5):
                response = await call.read()
            if response is grpc.aio.EOF:
                raise TimeoutError
            self.durable = max(self.durable, response.durable.sequence)
