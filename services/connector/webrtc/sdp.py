"""Session descriptions: what we read of them ourselves, line by line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_CHARACTERS = 256 * 1024
MOST_AUDIO_LINES = 32
# What takes time that grows with the square of their number, which anybody who may speak could take from everybody.
_MOST = {"m=": 64, "a=candidate:": 256, "a=ssrc": 1024}
_DIRECTION = re.compile(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", flags=re.MULTILINE)


@dataclass(frozen=True, slots=True)
class AudioLine:
    """An audio line of a description.

    `mid` is its identifier, `stream` and `track` what its `msid` says (both empty without one, "-" for no stream),
    `sends` whether the side that described it sends on it, `label` its `i=` line or what RFC 4796 and 4574 call the
    content and the label, empty without any.
    """

    mid: str
    sends: bool
    stream: str = ""
    track: str = ""
    label: str = ""


def fault_of(sdp: str) -> str:
    """Return why a description of somebody else's cannot be taken, empty if it can as far as its form goes."""
    if len(sdp) > MOST_CHARACTERS:
        return f"it is longer than {MOST_CHARACTERS} bytes"
    if not re.match(r"v=0\s", sdp):
        return "it is not a session description"
    for prefix, most in _MOST.items():
        if len(re.findall(rf"^{prefix}", sdp, flags=re.MULTILINE)) > most:
            return f"it has more than {most} lines {prefix}"
    if len(audio_lines(sdp)) > MOST_AUDIO_LINES:
        return f"it has more than {MOST_AUDIO_LINES} audio lines"
    if not fingerprint_of(sdp):
        return "it has no fingerprint: DTLS is needed"
    return ""


def fingerprint_of(sdp: str) -> str:
    """Return the first fingerprint of a description's certificates, empty without any."""
    return _value(sdp, "a=fingerprint:")


def audio_lines(sdp: str) -> Sequence[AudioLine]:
    """Return the audio lines of a description in order; those that were rejected (port 0) are left out."""
    sections = re.split(r"(?=^m=)", sdp, flags=re.MULTILINE)
    default = _direction(sections[0], "sendrecv")
    return [
        _audio_line(section, index, default)
        for index, section in enumerate(sections[1:])
        if section.startswith("m=audio ") and (not section.startswith("m=audio 0 ") or "a=bundle-only" in section)
    ]


def _audio_line(section: str, index: int, default_direction: str) -> AudioLine:
    stream, _, track = _value(section, "a=msid:").partition(" ")
    return AudioLine(
        mid=_value(section, "a=mid:") or str(index),
        sends=_direction(section, default_direction) in ("sendrecv", "sendonly"),
        stream=stream,
        track=track.strip(),
        label=_value(section, "i=") or _value(section, "a=label:"),
    )


def _direction(section: str, default: str) -> str:
    found = _DIRECTION.search(section)
    return found.group(1) if found else default


def _value(section: str, prefix: str) -> str:
    found = re.search(rf"^{re.escape(prefix)}([^\r\n]*)", section, flags=re.MULTILINE)
    return found.group(1).strip() if found else ""
