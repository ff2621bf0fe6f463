"""This process as an operator sees it: version, age, memory, processor time."""

import os
import resource
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_DISTRIBUTION = "interview-analytics-agent"
_PAGE_BYTES = resource.getpagesize()
_MEBIBYTE = 1024 * 1024


def program_version() -> str:
    """Return the installed version, "unknown" when the program runs without being installed."""
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def memory_mib() -> int:
    """Return the memory in use, in MiB; the peak where the system does not tell the present."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return pages * _PAGE_BYTES // _MEBIBYTE


class ProcessorMeter:
    """Measures processor time between two readings."""

    def __init__(self) -> None:
        self._used = time.process_time()
        self._at = time.monotonic()

    def percent(self) -> float:
        """Return the time used since the last reading, in percent of one core."""
        used, at = time.process_time(), time.monotonic()
        share = (used - self._used) / max(at - self._at, 1e-6)
        self._used, self._at = used, at
        return share * 100


def pid() -> int:
    """Return the identifier of this process."""
    return os.getpid()
