"""Parts of files (RFC 9110, section 14): what a Range header asks for, of a file whose size is known."""

import re
from dataclasses import dataclass

from gateway.errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=(?P<first>\d*)-(?P<last>\d*)")


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes from `first` up to and with `last`."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.last - self.first + 1


def part_of(header: str, size: int) -> Part | None:
    """Return the part that a Range header asks for; None where the whole file is the answer.

    The whole file answers several ranges at once, other units and headers that mean nothing, as the RFC allows.

    Raises:
        RangeNotSatisfiable: the file has no such bytes.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        first, last = max(0, size - int(match["last"])), size - 1
    else:
        first, last = int(match["first"]), min(int(match["last"] or size), size - 1)
        if match["last"] and int(match["last"]) < first:
            return None
    if first > last:
        raise RangeNotSatisfiable(size)
    return Part(first, last)
