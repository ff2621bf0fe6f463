"""`python -m bench.console.room`: the rooms behind the gateway, scripted: so many live sessions that never stand still.

One process serves OpsService as each of the four rooms, on the ports in BENCH_PORTS. BENCH_HZ is how often every
session changes; at 0 the rooms say the same every second.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop

from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceServicer, add_OpsServiceServicer_to_server

ROOMS = ("ingest", "stt", "connector", "report")
STATES = {"LIVE": 92, "DEGRADED": 4, "RECONN": 2, "STALLED": 1, "FAILED": 1}
"""A state and how many of a hundred sessions are in it."""
TITLES = ("Weekly platform sync", "Interview: backend", "Quarterly review", "Customer call Nordwind", "Board prep")
SAYS_SECONDS = 1.0
"""Between two snapshots of a room to which nothing happens, as in the product."""

_Ops: Any = OpsServiceServicer  # its other RPCs answer UNIMPLEMENTED


class Sessions:
    """Live sessions. A step changes every one of them: its level and lag, its words, now and then its state."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(7)  # the same sessions in every run
        self.rows = [
            ops.SessionStatus(
                meeting_id=f"01990000-0000-7000-8000-{index:012d}", title=TITLES[index % len(TITLES)],
                provider=("room", "sberjazz")[index % 2], tracks=2 + index % 6, words=40 * index,
                age_seconds=60 + index,
            )
            for index in range(number)
        ]  # fmt: skip
        for row in self.rows:
            self._enter(row)

    def step(self, seconds: float) -> None:
        """Let time pass."""
        for row in self.rows:
            row.level = self._random.randrange(256)
            row.lag_ms = self._random.randrange(100, 2_000)
            row.words += self._random.randrange(4)
            row.age_seconds += seconds >= 1.0 or self._random.random() < seconds
        self._enter(self._random.choice(self.rows))

    def _enter(self, row: ops.SessionStatus) -> None:
        row.state = self._random.choices(list(STATES), list(STATES.values()))[0]
        row.note = "" if row.state == "LIVE" else "packet loss 6 %"


class Room(_Ops):  # type: ignore[misc]
    """One room: ingest has the sessions, report the queues, connector the breakers."""

    def __init__(self, name: str, sessions: int, hz: float) -> None:
        self._name = name
        self._sessions = sessions if name == "ingest" else 0
        self._hz = hz

    async def Watch(self, request: ops.WatchRequest, context: Any) -> AsyncIterator[ops.WatchResponse]:
        sessions = Sessions(self._sessions)
        snapshot = ops.WatchResponse(
            room=ops.RoomStatus(room=self._name, state="serving", version="1.0.0", pid=1000, memory_mib=180),
            sessions=sessions.rows,
        )
        if self._name == "report":
            snapshot.queues.extend(ops.QueueStatus(queue=name, depth=3) for name in ("deliver", "report", "settle"))
        if self._name == "connector":
            snapshot.breakers.extend(
                ops.BreakerStatus(name=name, state="closed", threshold=5) for name in ("room", "sberjazz", "webhook")
            )
        moving = self._hz > 0
        pause = 1 / self._hz if moving and self._sessions else SAYS_SECONDS
        at = asyncio.get_running_loop().time()
        while True:
            yield snapshot
            at += pause
            await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
            if moving:
                self._move(snapshot, sessions, pause)

    def _move(self, snapshot: ops.WatchResponse, sessions: Sessions, seconds: float) -> None:
        if sessions.rows:
            sessions.step(seconds)
            del snapshot.sessions[:]
            snapshot.sessions.extend(sessions.rows)
        snapshot.room.uptime_seconds += round(seconds)
        for queue in snapshot.queues:
            queue.depth = (queue.depth + 7) % 40
        for breaker in snapshot.breakers:
            breaker.since_seconds += 1


async def serve() -> None:
    """Serve until killed; prints the first port when all are open."""
    ports = [int(port) for port in os.environ["BENCH_PORTS"].split(",")]
    number, hz = int(os.environ["BENCH_SESSIONS"]), float(os.environ["BENCH_HZ"])
    servers = []
    for name, port in zip(ROOMS, ports, strict=True):
        server = grpc.aio.server(options=[("grpc.http2.max_ping_strikes", 0)])  # the gateway looks whether we live
        add_OpsServiceServicer_to_server(Room(name, number, hz), server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        servers.append(server)
    print(ports[0], flush=True)
    await asyncio.gather(*(server.wait_for_termination() for server in servers))


if __name__ == "__main__":
    uvloop.run(serve())
