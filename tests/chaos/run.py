"""A run: the undisturbed calls first, then calls under fire until every kill has happened, then the verdicts."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kit.lifecycle import StartError
from tests.chaos.calls.call import Call, CallBroken
from tests.chaos.calls.kinds import KINDS, WITNESSES
from tests.chaos.evidence import Archive, Evidence, open_archive
from tests.chaos.mesh import Mesh, Plan, open_mesh
from tests.chaos.monkey import Appetite, Monkey, schedule
from tests.chaos.sample import Sample, samples
from tests.chaos.summary import Summary, summarise
from tests.chaos.verdict import Verdict, judge, witness
from tests.chaos.waiting import until

_UNDISTURBED_SECONDS = 120.0
_PROGRESS_SECONDS = 5.0
_POLL_SECONDS = 0.5
_WAITING_PER_SLOT = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What a run does."""

    seed: int
    appetite: Appetite
    calls: int
    """Held at a time."""
    plan: Plan
    witnesses: bool = False
    """Whether a call through the connector is held too."""
    samples: Sequence[Sample] = field(default_factory=samples)
    calm_seconds: float = 180.0
    """Time for what is under way to come to its end once nothing breaks any more."""


@dataclass
class Outcome:
    """What came of a run."""

    summary: Summary
    verdicts: Sequence[Verdict]


class Run:
    """One run; `play` is its whole life."""

    def __init__(self, options: Options, mesh: Mesh, archive: Archive, told: Callable[[str], None]) -> None:
        self._options = options
        self._mesh = mesh
        self._archive = archive
        self._told = told
        self._began = time.monotonic()
        self._calls: list[Call] = []
        self._holding: set[str] = set()
        self._settled: set[str] = set()
        self._expected: dict[tuple[str, str], Evidence] = {}
        self._over = asyncio.Event()
        self._monkey = Monkey(mesh, self._fault)

    async def play(self) -> Outcome:
        """Hold the calls, let the monkey loose, judge."""
        self._told(f"undisturbed: {len(KINDS) * len(self._options.samples)} calls")
        await self._learn()
        bursts = schedule(
            self._options.seed,
            self._options.appetite,
            [link.name for link in self._mesh.links],
            disk=self._mesh.disk.small,
        )
        self._told("now it breaks")
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            progress = tasks.create_task(self._progress(), name="chaos.progress")
            settling = tasks.create_task(self._settle(), name="chaos.settle")
            slots = [tasks.create_task(self._slot(*slot), name="chaos.slot") for slot in enumerate(self._kinds)]
            await self._monkey.play(bursts)
            fire_seconds = time.monotonic() - began
            self._over.set()
            self._told(f"calm after {fire_seconds:.0f} s; waiting for the last words")
            await self._calm(slots)
            for task in (progress, settling, *slots):
                task.cancel()
        return await self._judge(fire_seconds)

    async def _learn(self) -> None:
        """Hold every kind of call with every sample once, without faults."""
        free = asyncio.Semaphore(self._options.calls)

        async def hold(call: Call) -> None:
            async with free:
                await KINDS[call.kind](call, self._mesh.doors)

        calls = [Call(kind, sample) for sample in self._options.samples for kind in KINDS]

        async def settled() -> bool:
            through = await self._archive.settled([call.meeting_id for call in calls if call.acknowledged])
            return len(through) == len(calls)

        try:
            async with asyncio.timeout(_UNDISTURBED_SECONDS), asyncio.TaskGroup() as tasks:
                for call in calls:
                    tasks.create_task(hold(call), name="chaos.undisturbed")
                await until(settled, _POLL_SECONDS)
        except TimeoutError:
            through = await self._archive.settled([call.meeting_id for call in calls])
            late = [call.name for call in calls if call.meeting_id not in through]
            crashes = {process.name: process.crashes for process in self._mesh.processes if process.crashes}
            raise StartError(f"undisturbed, these are not through: {', '.join(late)}; crashed: {crashes}") from None
        for call in calls:
            found = await self._archive.read(call.meeting_id)
            self._expected[call.kind, call.sample.name] = found
            flaw = judge(call, found, found)
            assert flaw.sound, f"without any fault: {call.name}: {flaw.findings}"

    @property
    def _kinds(self) -> list[str]:
        """Kinds of the calls that are held at a time."""
        doors = itertools.islice(itertools.cycle(KINDS), self._options.calls)
        return [*doors, *(WITNESSES if self._options.witnesses else ())]

    async def _slot(self, number: int, kind: str) -> None:
        """Hold one call after another, as long as the text keeps up."""
        hold = {**KINDS, **WITNESSES}[kind]
        draw = random.Random(self._options.seed + number)
        while not self._over.is_set():
            call = Call(kind, draw.choice(self._options.samples), len(self._calls) + 1)
            self._calls.append(call)
            try:
                await hold(call, self._mesh.doors)
            except* CallBroken as broken:
                call.problem = str(broken.exceptions[0])
                self._told(f"BROKEN {call.name}: {call.problem}")
            await until(
                lambda: self._over.is_set() or self._waiting <= _WAITING_PER_SLOT * self._options.calls, _POLL_SECONDS
            )

    @property
    def _waiting(self) -> int:
        """Calls whose text is under way."""
        return sum(1 for call in self._calls if call.acknowledged and call.meeting_id not in self._settled)

    async def _settle(self) -> None:
        """Keep account of the meetings that are through."""
        while True:
            waiting = [call.meeting_id for call in self._calls if call.acknowledged]
            self._settled |= await self._archive.settled([one for one in waiting if one not in self._settled])
            await asyncio.sleep(_POLL_SECONDS)

    async def _calm(self, slots: Sequence["asyncio.Task[None]"]) -> None:
        """Wait until every call is acknowledged and through, within bounds."""
        try:
            async with asyncio.timeout(self._options.calm_seconds):
                await asyncio.wait(slots)
                await until(lambda: not self._waiting and not self._journals(), _POLL_SECONDS)
        except TimeoutError:
            for call in self._calls:
                if not call.acknowledged and not call.problem:
                    call.problem = f"not acknowledged {self._options.calm_seconds:.0f} s after the last fault"
                elif call.acknowledged and call.meeting_id not in self._settled:
                    call.problem = f"not through {self._options.calm_seconds:.0f} s after the last fault"

    async def _judge(self, fire_seconds: float) -> Outcome:
        evidence = {
            call.meeting_id: await self._archive.read(call.meeting_id) for call in self._calls if call.meeting_id
        }
        verdicts = []
        for call in self._calls:
            found = evidence.get(call.meeting_id, NOTHING)
            expected = self._expected.get((call.kind, call.sample.name))
            verdicts.append(judge(call, found, expected) if expected else witness(call, found))
        notes = [] if self._mesh.disk.small else ["disk fills left out: mounting a small disk needs root"]
        counted = summarise(verdicts, evidence, self._monkey.done, self._monkey.others)
        summary = Summary(
            seed=self._options.seed,
            seconds=round(fire_seconds, 1),
            replicas=self._options.plan.replicas,
            journals_left=self._journals(),
            crashes={process.name: process.crashes for process in self._mesh.processes if process.crashes},
            notes=notes,
            **counted,  # type: ignore[arg-type]
        )
        return Outcome(summary, verdicts)

    async def _progress(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            done = self._monkey.done
            rooms = ", ".join(f"{room} {count}" for room, count in sorted(done.items()))
            held = sum(1 for call in self._calls if not call.acknowledged and not call.problem)
            self._told(
                f"kills {done.total()}/{self._options.appetite.kills} ({rooms}), calls: {held} held, "
                f"{self._waiting} waiting for their text, {len(self._settled)} through"
            )

    def _journals(self) -> int:
        return sum(1 for path in (self._mesh.disk.path / "journals").glob("*/*/*.journal") if path.is_file())

    def _fault(self, what: str) -> None:
        with (self._options.plan.directory / "logs" / "faults.log").open("a") as log:
            log.write(f"{time.time():.3f} {time.monotonic() - self._began:7.1f} s  {what}\n")


NOTHING = Evidence("nowhere", "none", 0, (), (), {}, {}, 0, 0, 0)
"""Of a call whose meeting was never made."""


async def play(options: Options, told: Callable[[str], None]) -> Outcome:
    """Set the mesh up, play one run over it, take it down."""
    async with (
        open_mesh(options.plan) as mesh,
        open_archive(mesh.postgres.url, mesh.blobs) as archive,
    ):
        return await Run(options, mesh, archive, told).play()
