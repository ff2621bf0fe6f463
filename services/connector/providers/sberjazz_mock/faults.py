"""Faults of the stand-in, on demand: what goes wrong, where, and how often."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can go wrong."""

    TOO_MANY = "429"
    SERVER_ERROR = "500"
    AWAY = "503"
    TIMEOUT = "timeout"
    """No answer for a minute."""
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - the name of a fault
    NOT_JSON = "not_json"
    WRONG_TYPES = "wrong_types"
    ENDLESS = "endless"
    """A body without an end."""
    NEGATIVE_SEQUENCE = "negative_sequence"
    GARBAGE_AUDIO = "garbage_audio"
    DUPLICATES = "duplicates"
    """Every chunk of the page twice, and the whole page again the next time."""
    OUT_OF_ORDER = "out_of_order"
    """The page backwards."""
    LATE = "late"
    """The page without its first chunk, which comes on the next."""


OPERATIONS = ("health", "join", "leave", "status", "live-pull")
ON_PAGES = frozenset({Fault.NEGATIVE_SEQUENCE, Fault.GARBAGE_AUDIO, Fault.DUPLICATES, Fault.OUT_OF_ORDER, Fault.LATE})
"""Faults of chunks, which only a page that holds some can show."""


class FaultUnknown(ValueError):
    """There is no such fault or operation; the message says what there is."""


@dataclass
class Planned:
    """A fault of the next `times` requests to one operation, or to any; `retry_after_seconds` goes with 429 and 503."""

    fault: Fault
    times: int = 1
    operation: str = ""
    retry_after_seconds: float | None = None


class FaultPlan:
    """Faults in the order in which they were asked for; each request meets at most one."""

    def __init__(self, planned: Iterable[Planned] = ()) -> None:
        self.planned = list(planned)

    def take(self, operation: str, *, chunks: int | None = None) -> Planned | None:
        """Return the next fault of an operation and count it; with `chunks`, one of chunks, if there are any."""
        for planned in self.planned:
            if planned.operation not in ("", operation) or (planned.fault in ON_PAGES) != bool(chunks):
                continue
            planned.times -= 1
            if planned.times <= 0:
                self.planned.remove(planned)
            return planned
        return None


def read_fault(text: str) -> Planned:
    """Read `FAULT[:TIMES[:OPERATION]]`, for example `429:3:live-pull`.

    Raises:
        FaultUnknown: it is not of this form.
    """
    name, _, rest = text.partition(":")
    times, _, operation = rest.partition(":")
    try:
        fault = Fault(name)
    except ValueError as error:
        raise FaultUnknown(f"there is no fault {name!r}; there are {', '.join(Fault)}") from error
    if times and not (times.isdigit() and int(times) > 0):
        raise FaultUnknown(f"{text!r}: the number of times is not one")
    if operation and operation not in OPERATIONS:
        raise FaultUnknown(f"there is no operation {operation!r}; there are {', '.join(OPERATIONS)}")
    return Planned(fault, int(times or 1), operation)
