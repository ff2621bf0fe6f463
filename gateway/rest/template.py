"""Path templates of the contract: "/v1/meetings/{meeting_id}/chunks" to a pattern and back to field values."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Self
from urllib.parse import unquote

_VARIABLE = re.compile(r"\{(?P<field>[a-zA-Z0-9_.]+)(?:=(?P<segments>[^{}]+))?\}")
_VERB = re.compile(r":[a-zA-Z][a-zA-Z0-9]*$")


@dataclass(frozen=True)
class PathTemplate:
    """One template. `fields` names the request fields that the path fills, in order."""

    text: str
    fields: tuple[str, ...]
    has_verb: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template.

        Raises:
            ValueError: it does not start with a slash, or its braces do not close.
        """
        if not text.startswith("/") or _VARIABLE.sub("", text).strip().count("{"):
            raise ValueError(f"{text!r} is not a path template")
        fields = tuple(match["field"] for match in _VARIABLE.finditer(text))
        return cls(text, fields, _VERB.search(_VARIABLE.sub("", text)) is not None)

    @cached_property
    def openapi(self) -> str:
        """The template as OpenAPI writes it, without segment patterns."""
        return _VARIABLE.sub(lambda match: f"{{{match['field']}}}", self.text)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The expression that a still percent-encoded path must match."""
        parts: list[str] = []
        position = 0
        for match in _VARIABLE.finditer(self.text):
            parts += [re.escape(self.text[position : match.start()]), f"({self._segments(match['segments'] or '*')})"]
            position = match.end()
        parts.append(re.escape(self.text[position:]))
        return re.compile("".join(parts))

    @property
    def skeleton(self) -> tuple[str | None, ...] | None:
        """What stands between the slashes of every path that matches, None where that varies.

        None as a whole if their number varies.
        """
        plain = _VARIABLE.sub(lambda match: match["segments"] or "*", self.text)
        return None if "**" in plain else tuple(None if "*" in each else each for each in plain.split("/"))

    @property
    def precedence(self) -> tuple[bool, int, int]:
        """Sort key: templates with a verb first, then the fewer variables, then the longer text."""
        return (not self.has_verb, len(self.fields), -len(self.text))

    def match(self, path: str) -> dict[str, str] | None:
        """Return the fields' decoded values, None if the path is another one."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        return {field: unquote(value) for field, value in zip(self.fields, found.groups(), strict=True)}

    def _segments(self, segments: str) -> str:
        one = "[^/:]+" if self.has_verb else "[^/]+"
        wild = {"*": one, "**": ".+"}
        return "/".join(wild.get(segment, re.escape(segment)) for segment in segments.split("/"))
