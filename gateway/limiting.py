"""How often one caller may ask: by credential, and ten times as often by address: changing keys is no way out."""

import hashlib
import time
from collections.abc import Mapping, Sequence

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from prometheus_client import Counter
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.credentials import API_KEY, AUTHORIZATION
from gateway.errors import TooManyRequests
from gateway.headers import headers_of
from gateway.live.closing import TOO_MANY
from gateway.rest import problem
from kit.telemetry import logs

_PER_ADDRESS = 10
_UNLIMITED = frozenset({"/health", "/metrics"})
_REFUSED = Counter("agent_http_rate_limited", "HTTP requests and WebSockets refused for their number.", ("by",))

log = logs.get()


class RateLimited:
    """An ASGI middleware that refuses callers who ask too often.

    Each replica of the gateway counts by itself, in memory. Probes are not counted.

    Args:
        app: the application.
        rates: what one credential may do, each of them; an empty sequence lets everybody through.
    """

    def __init__(self, app: ASGIApp, rates: Sequence[RateLimitItem]) -> None:
        self._app = app
        self._rates = [(rate, _times(rate, _PER_ADDRESS)) for rate in rates]
        self._limiter: SlidingWindowCounterRateLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._rates and scope["type"] in ("http", "websocket") and scope["path"] not in _UNLIMITED:
            refusal = await self._refusal(scope)
            if refusal is not None:
                await self._refuse(refusal, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refusal(self, scope: Scope) -> TooManyRequests | None:
        if self._limiter is None:  # the storage belongs to a running loop
            self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        address = str((scope.get("client") or ("unknown",))[0])
        credential = _credential(headers_of(scope))
        for rate, rate_per_address in self._rates:
            counted = [(rate_per_address, "address", address), (rate, "credential", credential or address)]
            for limit, by, name in counted:
                if not await self._limiter.hit(limit, by, name):
                    stats = await self._limiter.get_window_stats(limit, by, name)
                    _REFUSED.labels(by).inc()
                    return TooManyRequests(
                        f"at most {rate.amount} requests in {rate.get_expiry()} s",
                        limit=rate.amount,
                        window_seconds=rate.get_expiry(),
                        retry_after_seconds=max(1.0, stats.reset_time - time.time()),
                    )
        return None

    async def _refuse(self, refusal: TooManyRequests, scope: Scope, receive: Receive, send: Send) -> None:
        log.info("http_rate_limited", kind=scope["type"])
        if scope["type"] == "http":
            await problem.of_error(refusal).response()(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": TOO_MANY, "reason": refusal.message})


def _credential(headers: Mapping[str, str]) -> str:
    """Return a digest of what the caller shows, empty if nothing; the keys themselves stay out of the store."""
    shown = headers.get(API_KEY) or headers.get(AUTHORIZATION)
    return hashlib.sha256(shown.encode()).hexdigest() if shown else ""


def _times(rate: RateLimitItem, factor: int) -> RateLimitItem:
    return type(rate)(rate.amount * factor, rate.multiples)
