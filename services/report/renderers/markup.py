"""Escaping of speech for Markdown: what people say is text, never markup, a link or an image."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&])")
_LINK = re.compile(r"(?<=[a-z])(?=://)|(?<=\bwww)(?=\.)", re.IGNORECASE)
_LIST = re.compile(r"^(\d+)([.)])(?=\s|$)|^([-+=])")


def escape(text: str) -> str:
    """One line of Markdown that reads as the text itself."""
    line = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    line = _LINK.sub("\N{WORD JOINER}", line)
    return _LIST.sub(lambda match: f"{match[1]}\\{match[2]}" if match[1] else f"\\{match[3]}", line)
