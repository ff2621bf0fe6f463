"""What operators see of the engines: the one in use, breakers, and whether anything is recognised at all."""

from collections.abc import Sequence

from agent.ops.v1 import ops_service_pb2 as ops
from kit.ops.sources import Check
from services.stt.engines.chain import EngineChain
from services.stt.pool import DecodePool


class Operators:
    """The room's answers to its operator."""

    def __init__(self, engine: EngineChain, pool: DecodePool) -> None:
        self._engine = engine
        self._pool = pool

    def detail(self) -> str:
        """The engines and their models, in the order in which they are asked, and how busy they are."""
        if self._engine.off:
            return "off"
        engines = ", then ".join(f"{member.engine} {member.model}" for member in self._engine.members)
        return f"{engines}; load {self._pool.forecast.load:.0%}"

    async def breakers(self) -> Sequence[ops.BreakerStatus]:
        """One breaker for each engine that has one."""
        return [
            ops.BreakerStatus(
                name=f"stt.{link.name}",
                state=state.state,
                failures=state.failures,
                threshold=state.threshold,
                since_seconds=round(state.since_seconds),
            )
            for link in self._engine.links
            for state in [link.breaker.state]
        ]

    async def checks(self) -> Sequence[Check]:
        """Whether some engine can be asked, and one more stream be carried; calls go on meanwhile, their text waits."""
        if self._engine.off:
            return [Check("engine", ok=False, message=self._engine.off, critical=False)]
        resting = [link.name for link in self._engine.links if link.breaker.state.state == "open"]
        ok = not resting or len(resting) < len(self._engine.links)
        message = "" if ok else f"every speech engine rests after failures: {', '.join(resting)}"
        return [Check("engine", ok=ok, message=message, critical=False), self._capacity()]

    def _capacity(self) -> Check:
        forecast = self._pool.forecast
        message = (
            f"this replica carries what it can, about {forecast.tracks_that_fit} people who talk as much as those of "
            "now: new streams wait or go to another one; add replicas, or take a smaller model"
        )
        ok = forecast.fits_one_more
        return Check("capacity", ok=ok, message="" if ok else message, critical=False)
