"""The webhook channel: a signed POST, as standardwebhooks.com has it.

`webhook-id` is the delivery's id and stays the same over all attempts; `webhook-timestamp` is the attempt's time;
`webhook-signature` covers both and the body. The body says that a report is ready, where it is and what is in it in
numbers; what was said is only in it if the operator wants so. The address is the operator's choice and is called as it
is: no redirect is followed and no proxy of the environment is used.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
from standardwebhooks import Webhook as Signer

from kit import clock
from kit.queue.errors import GiveUp
from services.report.errors import DeliveryFailed
from services.report.rows import DeliveryRow

CHANNEL = "webhook"
_RETRYABLE = frozenset({408, 409, 425, 429})
_CLAIMS = ("questions", "actions", "decisions", "risks", "keyMoments")


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """Where to send and how.

    Args:
        url: http or https; it may hold secrets.
        secret: `whsec_` and base64.
        timeout_seconds: for the whole exchange.
        include_report: whether the body carries the report with its quotations.
        public_url: where people reach the gateway.
    """

    url: str
    secret: str
    timeout_seconds: float
    include_report: bool
    public_url: str


@asynccontextmanager
async def open_webhook(options: WebhookOptions) -> AsyncIterator[Webhook]:
    """Keep a client for the block."""
    async with httpx2.AsyncClient(
        timeout=options.timeout_seconds,
        follow_redirects=False,
        trust_env=False,
        limits=httpx2.Limits(max_connections=8, max_keepalive_connections=2),
    ) as http:
        yield Webhook(options, http)


class Webhook:
    """Sends to one address."""

    name = CHANNEL

    def __init__(self, options: WebhookOptions, http: httpx2.AsyncClient) -> None:
        self.target = target_of(options.url)
        self._options = options
        self._http = http
        self._signer = Signer(options.secret)

    async def send(self, delivery: DeliveryRow, report: Mapping[str, Any]) -> None:
        """See `deliveries.Channel`."""
        body = self._body(delivery, report)
        now = clock.now()
        headers = {
            "content-type": "application/json",
            "user-agent": "interview-analytics-agent",
            "webhook-id": delivery.delivery_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(delivery.delivery_id, now.astimezone(UTC), body),
        }
        try:
            async with (
                asyncio.timeout(self._options.timeout_seconds),
                self._http.stream("POST", self._options.url, content=body.encode(), headers=headers) as answer,
            ):
                _check(answer)  # its body is nobody's business and is not read
        except (TimeoutError, httpx2.TimeoutException):
            raise DeliveryFailed(f"no answer within {self._options.timeout_seconds:g} s") from None
        except httpx2.TransportError as error:
            raise DeliveryFailed(f"the receiver cannot be reached ({type(error).__name__})") from None

    def _body(self, delivery: DeliveryRow, report: Mapping[str, Any]) -> str:
        data: dict[str, Any] = {
            "meeting_id": delivery.meeting_id,
            "revision": delivery.revision,
            "report_url": f"{self._options.public_url.rstrip('/')}/v1/meetings/{quote(delivery.meeting_id)}/report",
            "totals": totals(report),
        }
        if self._options.include_report:
            data["report"] = report
        made = report.get("provenance", {}).get("createTime", "")
        return json.dumps({"type": "report.ready", "timestamp": made, "data": data}, ensure_ascii=False)


def target_of(url: str) -> str:
    """Return a name for an address that tells nothing secret: its host, and a digest of all of it."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}#{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def totals(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report in numbers: length, speakers, claims by kind, and the account of every second."""
    coverage: dict[str, int] = {}
    for one in report.get("coverage", []):
        for kind, milliseconds in one.get("coverageMs", {}).items():
            coverage[kind] = coverage.get(kind, 0) + int(milliseconds)
    talk = report.get("talk", {})
    return {
        "duration_ms": int(talk.get("durationMs", 0)),
        "speakers": len(talk.get("speakers", [])),
        "segments": int(report.get("provenance", {}).get("segments", 0)),
        **{_snake(kind): len(report.get(kind, [])) for kind in _CLAIMS},
        "coverage_ms": coverage,
    }


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _check(answer: httpx2.Response) -> None:
    status = answer.status_code
    if answer.is_success:
        return
    if status in _RETRYABLE or status >= 500:
        rest = _rest_seconds(answer.headers.get("retry-after", ""))
        raise DeliveryFailed(f"the receiver answered {status}", retry_after_seconds=rest)
    raise GiveUp(f"the receiver answered {status}")


def _rest_seconds(retry_after: str) -> float | None:
    """Read Retry-After: seconds, or a date."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
