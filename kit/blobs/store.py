"""What a blob store does, wherever it keeps its blobs."""

import asyncio
import re
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from prometheus_client import Gauge

from kit.errors import InvalidArgument, NotFound, Unavailable

PIECE_BYTES = 1 << 20

_KEY = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*")

HEALTH = Gauge("agent_storage_health", "Whether the last probe of the blob store went well.", ["mode"])


class BlobNotFound(NotFound):
    """No blob has this key."""

    reason = "ERROR_REASON_ARTIFACT_NOT_FOUND"


class BlobsUnavailable(Unavailable, OSError):
    """The blob store cannot be used now."""

    reason = "ERROR_REASON_DEPENDENCY_UNAVAILABLE"
    retry_after_seconds = 5.0


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob without its bytes."""

    key: str
    size_bytes: int
    modify_time: datetime


@dataclass(frozen=True, slots=True)
class BlobHealth:
    """Outcome of a probe; `error` is empty when it could be written, read and deleted."""

    error: str
    latency_ms: int

    @property
    def ok(self) -> bool:
        """Whether all of it worked."""
        return not self.error


class BlobReader(Protocol):
    """A blob as an open file; every method blocks."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...


class BlobStore(ABC):
    """Blobs by key: names of letters, digits and `._=-` between slashes, none with a leading dot.

    Every method raises InvalidArgument for other keys, and OSError when the directory fails or, as BlobsUnavailable,
    when the bucket does.
    """

    mode: str
    """STORAGE_MODE."""
    location: str
    """Where the blobs are, for operators; no credentials."""

    _probe_seconds = 0.0
    """Time for which the outcome of a probe is good enough, if it went well."""

    def __init__(self, mode: str, location: str, refusal: str = "") -> None:
        self.mode = mode
        self.location = location
        self.refusal = refusal
        """Why this store must not be used here; its health says so. Empty: it may."""
        self._probed: tuple[float, BlobHealth] | None = None

    @abstractmethod
    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> int:
        """Write a blob, replacing an older one at once and never in part; returns its size when it is durable.

        What `data` raises is raised again; nothing is written then.
        """

    @abstractmethod
    async def get(self, key: str) -> bytes:
        """Return a whole blob.

        Raises:
            BlobNotFound: there is none.
        """

    @abstractmethod
    def stream(self, key: str) -> AsyncIterator[bytes]:
        """Yield a blob in pieces of about 1 MiB.

        Raises:
            BlobNotFound: there is none.
        """

    @abstractmethod
    def open_reader(self, key: str) -> BlobReader:
        """Open a blob for a thread that reads it bit by bit; blocks, and holds 1 MiB of it at most.

        Raises:
            BlobNotFound: there is none.
        """

    @abstractmethod
    async def describe(self, key: str) -> BlobInfo:
        """Return what is known of a blob without reading it.

        Raises:
            BlobNotFound: there is none.
        """

    async def exists(self, key: str) -> bool:
        """Whether there is a blob with this key."""
        try:
            await self.describe(key)
        except BlobNotFound:
            return False
        return True

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Remove a blob; it is no error if there is none."""

    @abstractmethod
    def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """Yield the blobs below a prefix, which ends where a part of a key ends (`meetings/42`), in no set order."""

    async def delete_below(self, prefix: str) -> int:
        """Remove every blob below a prefix, as `list` finds them; returns how many there were."""
        found = [blob.key async for blob in self.list(prefix)]
        for key in found:
            await self.delete(key)
        return len(found)

    async def check_health(self, *, fresh: bool = False, timeout_seconds: float = 10.0) -> BlobHealth:
        """Write, read and delete a probe.

        Args:
            fresh: whether an earlier outcome will not do. A bucket, where probes cost money, gives one of up to 30 s
                ago if it was a good one.
            timeout_seconds: after which the probe has failed.
        """
        if not fresh and self._probed is not None:
            moment, health = self._probed
            if health.ok and time.monotonic() - moment < self._probe_seconds:
                return health
        health = BlobHealth(self.refusal, 0) if self.refusal else await self._probe(timeout_seconds)
        self._probed = time.monotonic(), health
        HEALTH.labels(self.mode).set(1.0 if health.ok else 0.0)
        return health

    async def _probe(self, timeout_seconds: float) -> BlobHealth:
        began = time.perf_counter()
        key, content = f"probe/{secrets.token_hex(8)}", secrets.token_bytes(64)
        error = ""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.put(key, content)
                if await self.get(key) != content:
                    error = "the probe came back changed"
                await self.delete(key)
        except TimeoutError:
            error = f"no answer within {timeout_seconds:g} s"
        except BlobsUnavailable as problem:
            error = problem.message
        except Exception as problem:  # whatever the storage does is the probe's finding
            error = f"{type(problem).__name__}: {problem}".partition("\n")[0]
        return BlobHealth(error, round((time.perf_counter() - began) * 1000))


def checked(key: str) -> str:
    """Return a key that is one.

    Raises:
        InvalidArgument: it is none, and could lead elsewhere.
    """
    if not _KEY.fullmatch(key):
        raise InvalidArgument("is not a blob key", field="key")
    return key
