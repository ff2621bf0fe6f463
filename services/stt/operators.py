"""What operators see of the engines: the one in use, breakers, and whether anything is recognised at all."""

from collections.abc import Sequence

from agent.ops.v1 import ops_service_pb2 as ops
from kit.ops.sources import Check
from services.stt.engines.chain import EngineChain


class Operators:
    """The room's answers to its operator."""

    def __init__(self, engine: EngineChain) -> None:
        self._engine = engine

    def detail(self) -> str:
        """The engines and their models, in the order in which they are asked."""
        if self._engine.off:
            return "off"
        return ", then ".join(f"{member.engine} {member.model}" for member in self._engine.members)

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
        """Whether some engine can be asked; calls go on meanwhile, and wait for their text."""
        if self._engine.off:
            return [Check("engine", ok=False, message=self._engine.off, critical=False)]
        resting = [link.name for link in self._engine.links if link.breaker.state.state == "open"]
        ok = not resting or len(resting) < len(self._engine.links)
        message = "" if ok else f"every speech engine rests after failures: {', '.join(resting)}"
        return [Check("engine", ok=ok, message=message, critical=False)]
