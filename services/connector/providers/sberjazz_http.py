"""A client of the SberJazz contract: retries what may pass, refuses what will not, reads nothing without a bound."""

import asyncio
import json
import math
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import quote

import httpx2
import stamina
from pydantic import ValidationError

from kit.clock import now
from services.connector.provider import CallRefused, ProviderAway
from services.connector.providers import sberjazz_contract as contract

LONGEST_WAIT_SECONDS = 10.0
"""A provider that asks for more patience is away: its caller has a schedule of its own."""
_ALL_ATTEMPTS_SECONDS = 60.0
"""No attempt is begun after this."""
_LONGEST_BACKOFF_SECONDS = 8.0
_SMALL_ANSWER_BYTES = 64 * 1024
_BIG_PARSE_BYTES = 256 * 1024
"""Above this a body is parsed in a thread."""
_BUSY = frozenset({408, 425, 429})
_UNAUTHORIZED = frozenset({401, 403})
_MOVED = range(300, 400)

Answer = TypeVar("Answer", bound=contract.Shape)


class AnswerInvalid(CallRefused):
    """What came back is not the contract's: asking the same again would not help."""


class AnswerTooLarge(AnswerInvalid):
    """It does not end where the contract's answers end; a page of fewer chunks may."""


class Away(ProviderAway):
    """The provider failed; `retryable` says whether at once, `retry_after_seconds` what it asked for."""

    def __init__(self, message: str, *, retryable: bool, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Connecting:
    """How the provider is reached. `retries` are tries after the first."""

    base: str
    token: str = field(repr=False)
    timeout_seconds: float = 15.0
    retries: int = 3
    backoff_seconds: float = 0.5
    retry_statuses: frozenset[int] = frozenset({408, 425, 429, 500, 502, 503, 504})
    force_ipv4: bool = False


class SberJazzClient:
    """One call per method; all of them may be repeated without harm. See `open_client`.

    Raises (every method):
        ProviderAway: it does not answer, or says 5xx or 429, to the last retry.
        CallRefused: it refuses our credentials or the request; `AnswerInvalid` if it does not keep the contract.
    """

    def __init__(self, http: httpx2.AsyncClient, connecting: Connecting) -> None:
        self._http = http
        self._connecting = connecting

    async def health(self) -> contract.Health:
        """Ask whether the provider is well and knows our token; once, without retries."""
        return await self._ask("GET", contract.HEALTH, contract.Health, attempts=1)

    async def join(self, meeting_id: str, body: contract.JoinBody) -> contract.Joined:
        """Send the recorder into a call."""
        return await self._ask("POST", _path(contract.JOIN, meeting_id), contract.Joined, body=body)

    async def leave(self, meeting_id: str, reason: str) -> contract.Status:
        """Take the recorder out of a call; the chunks that were kept stay for a while."""
        body = contract.LeaveBody(reason=reason)
        return await self._ask("POST", _path(contract.LEAVE, meeting_id), contract.Status, body=body)

    async def status(self, meeting_id: str) -> contract.Status:
        """Ask where the recorder stands."""
        return await self._ask("GET", _path(contract.STATUS, meeting_id), contract.Status)

    async def live_pull(self, meeting_id: str, connection_id: str, cursor: str, limit: int) -> contract.Page:
        """Fetch at most `limit` chunks that follow a cursor; an empty cursor stands before the first."""
        query = {"connection_id": connection_id, "cursor": cursor, "limit": str(min(limit, contract.MAX_CHUNKS))}
        return await self._ask(
            "GET",
            _path(contract.LIVE_PULL, meeting_id),
            contract.Page,
            query=query,
            most_bytes=contract.MAX_ANSWER_BYTES,
        )

    async def _ask(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        body: contract.Shape | None = None,
        query: Mapping[str, str] | None = None,
        most_bytes: int = _SMALL_ANSWER_BYTES,
        attempts: int | None = None,
    ) -> Answer:
        connecting = self._connecting
        async for attempt in stamina.retry_context(
            on=_patience,
            attempts=attempts or connecting.retries + 1,
            timeout=_ALL_ATTEMPTS_SECONDS,
            wait_initial=connecting.backoff_seconds,
            wait_max=max(_LONGEST_BACKOFF_SECONDS, connecting.backoff_seconds),
            wait_jitter=connecting.backoff_seconds / 2,
        ):
            with attempt:
                content = await self._once(method, path, body, query, most_bytes)
                return await _parsed(answer, content)
        raise AssertionError("the last attempt returns or raises")

    async def _once(
        self, method: str, path: str, body: contract.Shape | None, query: Mapping[str, str] | None, most_bytes: int
    ) -> bytes:
        connecting = self._connecting
        headers = {"content-type": "application/json"} if body else {}
        request = self._http.build_request(
            method,
            connecting.base + path,
            params=query,
            headers=headers,
            content=body.model_dump_json().encode() if body else None,
        )
        try:
            async with asyncio.timeout(connecting.timeout_seconds):
                response = await self._http.send(request, stream=True)
                try:
                    content = await _read(response, most_bytes)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise Away(f"SberJazz did not answer within {connecting.timeout_seconds:g} s", retryable=True) from error
        except (httpx2.HTTPError, OSError) as error:
            # The library's own words may hold the address.
            raise Away(f"SberJazz cannot be reached ({type(error).__name__})", retryable=True) from error
        if response.status_code != httpx2.codes.OK:
            raise self._failure(response, content)
        return content

    def _failure(self, response: httpx2.Response, content: bytes) -> ProviderAway | CallRefused:
        status = response.status_code
        said = f"SberJazz answered {status}{_code_of(content)}"
        if status in _BUSY or status >= 500:
            asked = _retry_after(response)
            bearable = asked is None or asked <= LONGEST_WAIT_SECONDS
            retryable = bearable and status in self._connecting.retry_statuses
            return Away(said, retryable=retryable, retry_after_seconds=asked)
        if status in _UNAUTHORIZED:
            return CallRefused(f"{said}: SBERJAZZ_API_TOKEN is wrong or has expired")
        if status in _MOVED or status < 300:
            return AnswerInvalid(f"{said}: SBERJAZZ_API_BASE is not the address of its interface")
        return CallRefused(said)


@asynccontextmanager
async def open_client(connecting: Connecting, trust: ssl.SSLContext) -> AsyncIterator[SberJazzClient]:
    """Hold a client with its connections for the block."""
    transport = httpx2.AsyncHTTPTransport(
        verify=trust,
        trust_env=False,
        local_address="0.0.0.0" if connecting.force_ipv4 else None,  # noqa: S104 - any IPv4 address to send from
        limits=httpx2.Limits(max_connections=4, max_keepalive_connections=2),
    )
    async with httpx2.AsyncClient(
        transport=transport,
        # Compressed bodies would make a bound on what is read worth nothing.
        headers={"authorization": f"Bearer {connecting.token}", "accept-encoding": "identity"},
        timeout=connecting.timeout_seconds,
        trust_env=False,
    ) as http:
        yield SberJazzClient(http, connecting)


def _path(template: str, meeting_id: str) -> str:
    return template.format(meeting_id=quote(meeting_id, safe=""))


def _patience(error: Exception) -> bool | float:
    """Whether to ask again, or after how many seconds."""
    if not isinstance(error, Away) or not error.retryable:
        return False
    return True if error.retry_after_seconds is None else error.retry_after_seconds


async def _read(response: httpx2.Response, most_bytes: int) -> bytes:
    """Read a body that may never end.

    Raises:
        AnswerTooLarge: it is larger than any answer of the contract.
        AnswerInvalid: it is compressed although we did not ask for that.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise AnswerInvalid("SberJazz sent a compressed answer, which was not asked for")
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        if len(content) > most_bytes:
            raise AnswerTooLarge(f"SberJazz sent an answer of more than {most_bytes} bytes")
    return bytes(content)


async def _parsed(answer: type[Answer], content: bytes) -> Answer:
    try:
        if len(content) > _BIG_PARSE_BYTES:
            return await asyncio.to_thread(answer.model_validate_json, content)
        return answer.model_validate_json(content)
    except ValidationError as error:
        raise AnswerInvalid(f"SberJazz does not keep the contract: {problem_of(error)}") from error


def problem_of(error: ValidationError) -> str:
    """Return where and why a body breaks the contract, without a word of what stands there."""
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    place = ".".join(str(part)[:32] for part in first["loc"][:4]) or "body"
    return f"{place}: {first['type']}"


def _code_of(content: bytes) -> str:
    """The provider's own word for the error, when it is one word: a sentence might hold anything."""
    try:
        code = json.loads(content)["error"]["code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f" ({code})" if isinstance(code, str) and code.isidentifier() and len(code) <= 64 else ""


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds that the provider asks to be left alone: a number, or a date."""
    asked = response.headers.get("retry-after", "")
    try:
        seconds = float(asked)
    except ValueError:
        try:
            moment = parsedate_to_datetime(asked)
        except ValueError:
            return None
        seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now()).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
