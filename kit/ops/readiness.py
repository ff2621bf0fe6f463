"""Readiness of a room: its checks, run now and then, as a gauge, as health and as an answer to operators."""

import asyncio
from collections.abc import Sequence

from kit.lifecycle import StartError
from kit.ops.sources import Check, Readiness
from kit.rpc.health import Health
from kit.telemetry import logs
from kit.telemetry.metrics import SYSTEM_READINESS

_CHECK_SECONDS = 5.0

log = logs.get()


class ReadinessWatch:
    """Runs the checks; `checks` is the latest outcome."""

    def __init__(self, readiness: Readiness, health: Health, *, interval_seconds: float) -> None:
        self._readiness = readiness
        self._health = health
        self._interval_seconds = interval_seconds
        self.checks: Sequence[Check] = ()

    async def run(self) -> None:
        """Check again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            await self.check()

    async def start(self, *, fail_fast: bool) -> None:
        """Check for the first time.

        Raises:
            StartError: `fail_fast`, and some check failed.
        """
        failed = [check for check in await self.check() if not check.ok]
        if fail_fast and failed:
            raise StartError("not ready: " + "; ".join(f"{check.name}: {check.message}" for check in failed))

    async def check(self) -> Sequence[Check]:
        """Run the checks and tell the gauge and health; returns their outcome."""
        before = {check.name: check.ok for check in self.checks}
        self.checks = await self._run_checks()
        for check in self.checks:
            if not check.ok and before.get(check.name, True):
                log.warning("readiness_lost", check=check.name, message=check.message, critical=check.critical)
            elif check.ok and not before.get(check.name, True):
                log.info("readiness_regained", check=check.name)
        SYSTEM_READINESS.set(all(check.ok for check in self.checks))
        await self._health.set_serving(all(check.ok for check in self.checks if check.critical))
        return self.checks

    async def _run_checks(self) -> Sequence[Check]:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                return await self._readiness()
        except TimeoutError:
            return [Check("readiness", False, f"the checks did not end within {_CHECK_SECONDS:g} s")]
        except Exception as error:  # an edge: a check that crashes is a check that fails
            log.error("readiness_check_crashed", exc_info=error)
            return [Check("readiness", False, f"the checks crashed with {type(error).__name__}; see the log")]
