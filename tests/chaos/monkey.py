"""The monkey: a schedule of faults made of a seed alone, and its hands."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.mesh import LEASE_SECONDS, Mesh
from tests.chaos.process import RoomProcess

KILLS: Mapping[str, float] = {
    "ingest": 5.0, "stt": 3.5, "postgres": 2.0, "report": 2.0, "gateway": 2.5, "connector": 1.0,
}  # fmt: skip
"""Which rooms are killed how often, as shares."""
_LARGEST_BURST = 4
_FROZEN_SECONDS = (1.0, 15.0)
_CUT_SECONDS = (0.5, 6.0)
_FULL_SECONDS = (2.0, 6.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `target` is a replica or a link; where it is a room, `replica` in [0, 1) chooses one."""

    kind: str
    """kill, freeze, restart, reset, stall, cut or fill."""
    target: str
    seconds: float = 0.0
    replica: float = 0.0


@dataclass(frozen=True, slots=True)
class Burst:
    """Faults at once, a while after the burst before."""

    pause_seconds: float
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Appetite:
    """How bad it gets."""

    kills: int
    seconds_per_kill: float = 1.7
    shares: Mapping[str, float] | None = None
    """Of kills by room; `KILLS` if None."""
    others: bool = True
    """Whether anything but kills happens."""


def schedule(seed: int, appetite: Appetite, links: Sequence[str], *, disk: bool) -> list[Burst]:
    """Make a schedule; the same arguments give the same one.

    Args:
        seed: of everything that is drawn.
        appetite: how much of it.
        links: names of the links that may suffer.
        disk: whether the journals' disk may be filled.
    """
    draw = random.Random(seed)
    shares = appetite.shares or KILLS
    rooms, weights = list(shares), list(shares.values())
    bursts = []
    left = appetite.kills
    while left:
        kills = min(left, draw.choice((1, 1, 2, 2, 3, _LARGEST_BURST)))
        left -= kills
        faults = [
            Fault("kill", room, replica=draw.random()) for room in draw.choices(rooms, weights, k=kills)
        ]  # two of one room: the second meets the one that starts
        if appetite.others:
            faults += _others(draw, rooms, links, disk=disk)
        pause = kills * appetite.seconds_per_kill * draw.uniform(0.5, 1.5)
        bursts.append(Burst(pause, tuple(faults)))
    return bursts


def _others(draw: random.Random, rooms: Sequence[str], links: Sequence[str], *, disk: bool) -> Iterable[Fault]:
    if draw.random() < 0.2:
        seconds = draw.uniform(*_FROZEN_SECONDS)
        # Half of those who freeze are owners of meetings, and half of these for longer than their lease.
        if draw.random() < 0.5:
            yield Fault(
                "freeze", "ingest", seconds if draw.random() < 0.5 else LEASE_SECONDS + seconds / 2, draw.random()
            )
        else:
            yield Fault("freeze", draw.choice([room for room in rooms if room != "postgres"]), seconds, draw.random())
    if draw.random() < 0.1:
        yield Fault("restart", draw.choice(rooms), replica=draw.random())
    if draw.random() < 0.5:
        kind = draw.choice(("reset", "reset", "stall", "cut"))
        yield Fault(kind, draw.choice(links), 0.0 if kind == "reset" else draw.uniform(*_CUT_SECONDS))
    if disk and draw.random() < 0.06:
        yield Fault("fill", "disk", draw.uniform(*_FULL_SECONDS))


class Monkey:
    """Does what the schedule says. `done` counts kills by room, `others` the rest by kind."""

    def __init__(self, mesh: Mesh, told: Callable[[str], None]) -> None:
        self.done: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self._mesh = mesh
        self._told = told

    async def play(self, bursts: Sequence[Burst]) -> None:
        """Play the schedule to its end and take back what lasts; every kill has happened then."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for burst in bursts:
                    await asyncio.sleep(burst.pause_seconds)
                    for fault in burst.faults:
                        tasks.create_task(self._strike(fault), name=f"chaos.{fault.kind}")
        finally:
            self._mesh.mend()

    async def _strike(self, fault: Fault) -> None:
        self._told(f"{fault.kind} {fault.target}" + (f" {fault.seconds:.1f} s" if fault.seconds else ""))
        match fault.kind:
            case "kill":
                await self._kill(fault)
                self.done[fault.target] += 1
                return
            case "freeze":
                await self._process(fault).freeze(fault.seconds)
            case "restart" if fault.target == "postgres":
                await self._mesh.postgres.restart()
            case "restart":
                await self._process(fault).leave()
            case "fill":
                self._mesh.disk.fill()
                await self._for_a_while(fault, self._mesh.disk.free)
            case "reset" | "stall" | "cut":
                link = next(link for link in self._mesh.links if link.name == fault.target)
                getattr(link, fault.kind)()
                if fault.seconds:
                    await self._for_a_while(fault, link.mend)
        self.others[fault.kind] += 1

    async def _kill(self, fault: Fault) -> None:
        if fault.target == "postgres":
            await self._mesh.postgres.kill()
        else:
            await self._process(fault).kill()

    def _process(self, fault: Fault) -> RoomProcess:
        replicas = self._mesh.replicas(fault.target)
        return replicas[int(fault.replica * len(replicas))]

    async def _for_a_while(self, fault: Fault, end: Callable[[], None]) -> None:
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            end()
