"""What has been decoded and billed since the start, by engine and tenant."""

from collections import defaultdict
from dataclasses import dataclass

from services.stt import metrics
from services.stt.audio import SAMPLE_RATE_HERTZ
from services.stt.engines.engine import Hypothesis, Window


@dataclass(slots=True)
class Account:
    """One engine's work for one tenant."""

    audio_seconds: float = 0.0
    cost_usd: float = 0.0


class Ledger:
    """Every decode that an engine answered, whether its caller still waited or not: it was billed all the same."""

    def __init__(self) -> None:
        self._accounts: defaultdict[tuple[str, str], Account] = defaultdict(Account)

    def charge(self, tenant: str, window: Window, hypothesis: Hypothesis) -> None:
        """Write down one decode."""
        seconds = len(window.waveform) / SAMPLE_RATE_HERTZ
        account = self._accounts[hypothesis.engine, tenant]
        account.audio_seconds += seconds
        account.cost_usd += hypothesis.cost_usd
        metrics.DECODED_SECONDS.labels(hypothesis.engine, tenant).inc(seconds)
        metrics.COST_USD.labels(hypothesis.engine, tenant).inc(hypothesis.cost_usd)

    @property
    def accounts(self) -> list[tuple[str, str, Account]]:
        """Engine, tenant and their account, the most expensive and then the busiest first."""
        ordered = sorted(self._accounts.items(), key=lambda entry: (-entry[1].cost_usd, -entry[1].audio_seconds))
        return [(engine, tenant, account) for (engine, tenant), account in ordered]

    @property
    def cost_usd(self) -> float:
        """The whole bill."""
        return sum(account.cost_usd for account in self._accounts.values())
