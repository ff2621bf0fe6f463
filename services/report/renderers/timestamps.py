"""Places on the timeline as people and subtitle players read them; all take milliseconds."""

from __future__ import annotations


def clock(milliseconds: int) -> str:
    """ "02:31", and with hours from the first hour on: "1:02:31"."""
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def cue_time(milliseconds: int, mark: str) -> str:
    """ "00:02:31,000" with the mark that the format wants before the milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{rest:03}"
