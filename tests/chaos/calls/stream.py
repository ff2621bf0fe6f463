"""A call over gRPC: the connector's own uplink and backlog, which must survive everything."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.ingest.v1.audio_service_pb2 import StreamAudioRequest
from kit.rpc.client import open_channel
from services.connector.provider import Basis, JoinSpec
from services.connector.spans import Kind
from services.connector.uplink.backlog import Backlog
from services.connector.uplink.uplink import Uplink, UplinkRefused
from tests.chaos.calls.call import TENANT, Call, CallBroken, Doors, open_http, paced, start_meeting

_BACKLOG_BYTES = 64 * 1024 * 1024
_ACK_SECONDS = 5.0


class _ToldBacklog(Backlog):
    """The backlog, which tells the call what is acknowledged."""

    def __init__(self, call: Call) -> None:
        super().__init__(_BACKLOG_BYTES)
        self._call = call
        self._names: dict[int, str] = {}
        self._told = 0
        self._taken: dict[int, StreamAudioRequest] = {}

    def take(self) -> StreamAudioRequest:
        request = super().take()
        self._taken[request.sequence] = request
        return request

    def acknowledge(self, sequence: int) -> bool:
        while self._told < sequence and self._told + 1 in self._taken:
            self._told += 1
            self._tell(self._taken.pop(self._told))
        return super().acknowledge(sequence)

    def _tell(self, request: StreamAudioRequest) -> None:
        if request.HasField("track"):
            self._names[request.track.track] = request.track.participant_id
        elif request.HasField("audio"):
            self._call.keep(self._names[request.audio.track], request.audio.pcm)


async def hold(call: Call, doors: Doors) -> None:
    """Send every track in one session.

    Raises:
        CallBroken: ingest refused the session, or audio was dropped.
    """
    async with open_http(doors) as http:
        await start_meeting(call, http, "realtime")
    async with _open_uplink(call, doors) as uplink:
        uplink.begin(round(1000 * time.time()))
        tracks = {name: uplink.start_track(name, name.title(), Basis.OWN_TRACK, 0) for name in call.sample.tracks}
        try:
            async for start, said in paced(call.sample, doors.pace):
                for name, data in said.items():
                    uplink.audio(tracks[name], start, data, Kind.OK)
            for track in tracks.values():
                uplink.end_track(track, call.sample.samples)
            uplink.end(call.sample.samples)
            await uplink.over()
        except UplinkRefused as refused:
            raise CallBroken(f"the uplink gave up: {refused}") from refused
        finally:
            call.connections = uplink.connections
        if uplink.overflowed_samples:
            raise CallBroken(f"the uplink dropped {uplink.overflowed_samples} samples")
    call.acknowledge_all()


@asynccontextmanager
async def _open_uplink(call: Call, doors: Doors) -> AsyncIterator[Uplink]:
    """What `open_uplink` does, with a backlog that tells."""
    spec = JoinSpec(call.meeting_id, TENANT, language=call.sample.language)
    async with open_channel(doors.ingest, api_key=doors.service_key) as channel, asyncio.TaskGroup() as tasks:
        uplink = Uplink(channel, spec, "recorder", _ToldBacklog(call), _ACK_SECONDS)
        running = [
            tasks.create_task(uplink.run(), name="chaos.uplink"),
            tasks.create_task(uplink.flush_stale(), name="chaos.uplink.flush"),
        ]
        try:
            yield uplink
        finally:
            for task in running:
                task.cancel()
