"""What a job works on, as operators may see it: JSON without secrets and without long texts."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

MASK = "****"

_MAX_TEXT_CHARACTERS = 200
_MAX_LOOKED_AT_CHARACTERS = 2_000
_MAX_ITEMS = 50
_MAX_DEPTH = 6
_MAX_CHARACTERS = 8_000
_MAX_SAFE_INTEGER = 2**53  # larger ones are not the same number in every reader of JSON

_SECRET = re.compile(
    r"token|secret|passw|passphrase|credential|authori[sz]ation|cookie|signature|bearer"
    r"|(?:^|[_-])(?:keys?|pwd|auth|dsn|otp|pin)(?:$|[_-])|(?:api|access|private|service|signing)_?keys?",
    re.IGNORECASE,
)
_SPOKEN = re.compile(
    r"(?:^|[_-])(?:texts?|transcript|utterances?|words|quotes?|prompt|body|content|speakers?|names?|title|subject)(?:$|[_-])",
    re.IGNORECASE,
)
_URL = re.compile(r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://[^\s\"'<>]+", re.IGNORECASE)


def payload_text(payload: Mapping[str, Any]) -> str:
    """Return a payload as a JSON object.

    Values whose names look like secrets or like something that somebody said are masked, of addresses only the host
    and the first step of the path stay, and long texts are cut.
    """
    written = json.dumps(_told(payload, 0), ensure_ascii=False)
    if len(written) > _MAX_CHARACTERS:
        names = [str(name)[:64] for name in list(payload)[:_MAX_ITEMS]]
        written = json.dumps({"...": f"{len(written)} characters", "fields": names}, ensure_ascii=False)
    return written


def _told(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _MAX_SAFE_INTEGER else f"{value:#x}"[:_MAX_TEXT_CHARACTERS]
    if depth >= _MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {_text(str(key)): _named(str(key), one, depth) for key, one in list(value.items())[:_MAX_ITEMS]}
    if isinstance(value, list | tuple):
        return [_told(one, depth + 1) for one in value[:_MAX_ITEMS]]
    return _text(str(value))


def _named(name: str, value: Any, depth: int) -> Any:
    if value is None or value == "":
        return value
    if _SECRET.search(_snake(name)) or (_SPOKEN.search(_snake(name)) and not isinstance(value, bool | int | float)):
        return MASK
    return _told(value, depth + 1)


def _snake(name: str) -> str:
    """Write `apiKey` as `api_key`, so that words are told apart."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def _text(text: str) -> str:
    if len(text) > _MAX_LOOKED_AT_CHARACTERS:  # a word that was cut is not known to be harmless
        text = text[:_MAX_LOOKED_AT_CHARACTERS].rpartition(" ")[0] + "..."
    text = _URL.sub(_address, text)
    return text if len(text) <= _MAX_TEXT_CHARACTERS else text[: _MAX_TEXT_CHARACTERS - 3] + "..."


def _address(found: "re.Match[str]") -> str:
    try:
        parts = urlsplit(found[0])
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return MASK
    steps = [step for step in parts.path.split("/") if step]
    path = "".join(f"/{step}" for step in steps[:1]) if len(steps) > 1 else ""
    hidden = "/" + MASK if steps else ""
    more = f"?{MASK}" if parts.query else ""
    return f"{parts.scheme}://{host}{port}{path}{hidden}{more}"
