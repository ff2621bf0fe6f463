"""Personal data in log lines, made unreadable: PII_MASKING_ENABLED.

By rule no line holds speech, names or secrets. This is for what slips in all the same: an address in an exception's
text, a telephone number in what a provider answered. The same value becomes the same pseudonym in every room that
has the same key, so that lines can still be joined.
"""

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from structlog.typing import EventDict, WrappedLogger

MAX_CHARACTERS = 20_000
"""Text of one line that is looked at; what is longer is cut off, never shown as it is."""

_MAX_DEPTH = 6
_MAX_ITEMS = 200
_PSEUDONYM_BYTES = 4
_KEY_BYTES = 64  # as many as blake2b takes
_NO_ONE = frozenset({"timestamp", "level", "room", "logger", "trace_id", "span_id", "parent_span_id"})
"""Fields that our own code fills, with nothing of anybody in them."""

_GAP = "[ \u00a0.-]{0,2}"
_FORMS = re.compile(
    rf"""
    (?P<token>
        \beyJ[\w-]{{5,}}\.[\w-]+\.[\w-]*                                         # JSON web tokens
        | (?<=Bearer\ )\S+
        | (?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])(?=[\w-]*\d)[A-Za-z0-9_-]{{32,}}(?![\w-])
    )
    | (?P<email> (?<![\w.+%-])[\w.+%-]{{1,254}}@[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{1,8}} )
    | (?P<ip>
        (?<![\w.:])\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?![\w.]*\w)
        | (?<![\w:.])(?:[0-9A-Fa-f]{{1,4}}:{{1,2}}){{2,7}}[0-9A-Fa-f]{{1,4}}(?!\w|:\w)
    )
    | (?P<card>
        (?<![\w.+-])(?:[2-6]\d{{3}}([ -]?)\d{{4}}\5\d{{4}}\5\d{{4}}|3[47]\d{{2}}([ -]?)\d{{6}}\6\d{{5}})(?![\w-])
    )
    | (?P<phone>
        (?<!\w)(?<!\w[-.])(?<!\d[:/])
        (?:
            \+[1-9](?:{_GAP}\(?\d\)?){{7,14}}                                     # +49 (30) 123-456, +79161234567
            | [78]{_GAP}\(?[3489]\d\d\)?{_GAP}\d{{3}}{_GAP}\d\d{_GAP}\d\d           # 8 (916) 123-45-67, 89161234567
            | [78]{_GAP}\([3489]\d{{3,4}}\){_GAP}\d{{1,2}}{_GAP}\d\d{_GAP}\d\d       # 8 (49232) 1-23-45
            | \(\d{{3,5}}\){_GAP}\d{{1,3}}[ -]?\d\d[ -]?\d\d                        # (495) 123-45-67
            | \d{{3}}[ -]\d{{3}}[ -]\d\d[ -]?\d\d                                 # 916 123-45-67, 202-555-0143
            | \d{{3}}-\d\d-\d\d                                                 # 123-45-67
        )
        (?![\w]|[-.:]\d)
    )
    """,
    re.VERBOSE,
)


class Masking:
    """A processor of structlog that masks the texts of a line, nested ones too.

    Args:
        key: secret that pseudonyms are made with; if empty, one for this process alone.
    """

    def __init__(self, key: str = "") -> None:
        material = key.encode() or secrets.token_bytes(_KEY_BYTES)
        self._key = hashlib.blake2b(material, person=b"log-pseudonyms").digest()[:_KEY_BYTES]

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        budget = _Budget()
        for name in list(event):
            if name not in _NO_ONE and not name.startswith("_"):
                event[name] = self._masked(event[name], budget, 0)
        return event

    def text(self, text: str) -> str:
        """Return a text with pseudonyms for e-mail addresses, telephone and card numbers, tokens and public IPs."""
        return _FORMS.sub(self._pseudonym, text)

    def _masked(self, value: Any, budget: "_Budget", depth: int) -> Any:
        match value:
            case str():
                return self.text(budget.take(value))
            case bool() | int() | float() | None:
                return value
            case Mapping() if depth < _MAX_DEPTH:
                return {
                    self._masked(key, budget, depth + 1): self._masked(inner, budget, depth + 1)
                    for key, inner in budget.items(value.items())
                }
            case list() | tuple() | set() | frozenset() if depth < _MAX_DEPTH:
                return [self._masked(inner, budget, depth + 1) for inner in budget.items(value)]
        return self.text(budget.take(str(value)))  # as the renderer would write it

    def _pseudonym(self, found: re.Match[str]) -> str:
        kind, text = str(found.lastgroup), found.group()
        canonical = _CANONICAL[kind](text)
        if canonical is None:
            return text
        digest = hashlib.blake2b(canonical.encode(), key=self._key, digest_size=_PSEUDONYM_BYTES).hexdigest()
        return f"<{kind} {digest}>"


class _Budget:
    """How much of a line may still be looked at."""

    def __init__(self) -> None:
        self._characters = MAX_CHARACTERS
        self._items = _MAX_ITEMS

    def take(self, text: str) -> str:
        """Return as much of a text as there is room for."""
        taken = text[: self._characters]
        self._characters -= len(taken)
        return taken if len(taken) == len(text) else f"{taken.rsplit(' ', 1)[0]}... ({len(text)} characters)"

    def items(self, values: Any) -> list[Any]:
        """Return as many of the values as there is room for."""
        taken = []
        for value in values:
            if self._items == 0:
                break
            self._items -= 1
            taken.append(value)
        return taken


def _number(text: str) -> str:
    """One number, however it is written: +7, 8 and nothing at all begin the same Russian number."""
    digits = re.sub(r"\D", "", text)
    if text.startswith("+"):
        return digits
    if len(digits) == 11 and digits[0] in "78":
        return f"7{digits[1:]}"
    return f"7{digits}" if len(digits) == 10 else digits


def _public(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None  # a time of day
    return str(address) if address.is_global else None


def _card(text: str) -> str | None:
    digits = [int(digit) for digit in text if digit.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return "".join(map(str, digits)) if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else None


_CANONICAL: Mapping[str, Callable[[str], str | None]] = {
    "token": str,
    "email": str.casefold,
    "ip": _public,
    "card": _card,
    "phone": _number,
}
"""What two ways to write the same thing have in common, by kind; None: it is not one after all."""
