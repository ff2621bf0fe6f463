"""Due dates: a small grammar over the lexicon's date cues, counted from the day of the meeting."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from services.report.analysis.lexicon import Lexicon
from services.report.analysis.words import fold

_FRIDAY = 4


@dataclass(frozen=True, slots=True)
class Due:
    """A date with the words that named it."""

    day: date
    text: str
    deadline: bool
    """The words set a limit ("by Friday"), they do not only name a day."""


def due_date(text: str, words: Lexicon, held_on: date) -> Due | None:
    """The date a sentence names, or None; a limit goes before a mere day, then the one said first."""
    found = sorted(
        _dues(text, words, held_on), key=lambda place: (not place[1].deadline, place[0], -len(place[1].text))
    )
    return found[0][1] if found else None


def _dues(text: str, words: Lexicon, held_on: date) -> Iterator[tuple[int, Due]]:
    folded = fold(text)
    for cue in words.cues["dates"]:
        for match in cue.pattern.finditer(folded):
            try:
                day = _RULES[cue.kind](match, words, held_on, cue.offset)
            except (ValueError, OverflowError):  # 30 February, or past the last year of the calendar
                continue
            start, end = match.span()
            yield start, Due(day, text[start:end].strip(), bool(match.groupdict().get("deadline")))


def _days(match: re.Match[str], words: Lexicon, held_on: date, offset: int) -> date:
    return held_on + timedelta(days=offset)


def _weekday(match: re.Match[str], words: Lexicon, held_on: date, offset: int) -> date:
    """The next such day; on its own day it means a week later, "next" skips the running week."""
    ahead = (words.weekdays[match["weekday"]] - held_on.weekday()) % 7 or 7
    if match["next"] and held_on.weekday() + ahead < 7:
        ahead += 7
    return held_on + timedelta(days=ahead)


def _ahead(match: re.Match[str], words: Lexicon, held_on: date, offset: int) -> date:
    number = match["number"]
    count = 1 if number is None else words.numbers[number] if number in words.numbers else int(number)
    return _after(held_on, count, words.units[match["unit"]])


def _end(match: re.Match[str], words: Lexicon, held_on: date, offset: int) -> date:
    """Last day of the running or the next period; a week ends on Friday, or on Sunday once Friday is past."""
    unit = words.units[match["unit"]]
    within = _after(_first_day(held_on, unit), 1, unit) if match.groupdict().get("next") else held_on
    if unit == "week":
        friday = within + timedelta(days=_FRIDAY - within.weekday())
        return friday if friday >= held_on else friday + timedelta(days=2)
    return _after(_first_day(within, unit), 1, unit) - timedelta(days=1)


def _monthday(match: re.Match[str], words: Lexicon, held_on: date, offset: int) -> date:
    """A day of a month; without a year it is the next one to come."""
    month = words.months[match["month"]] if match["month"] in words.months else int(match["month"])
    year = match.groupdict().get("year")
    if year:
        return date(int(year), month, int(match["day"]))
    day = date(held_on.year, month, int(match["day"]))
    return day if day >= held_on else date(held_on.year + 1, month, int(match["day"]))


def _after(day: date, count: int, unit: str) -> date:
    if unit in ("day", "week"):
        return day + timedelta(days=count * (7 if unit == "week" else 1))
    months = day.month - 1 + count * {"month": 1, "quarter": 3, "year": 12}[unit]
    year, month = day.year + months // 12, months % 12 + 1
    if year > date.max.year:
        raise OverflowError("past the last year of the calendar")
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _first_day(day: date, unit: str) -> date:
    if unit == "week":
        return day - timedelta(days=day.weekday())
    if unit == "quarter":
        return date(day.year, day.month - (day.month - 1) % 3, 1)
    return date(day.year, 1 if unit == "year" else day.month, 1)


_RULES: Mapping[str, Callable[[re.Match[str], Lexicon, date, int], date]] = {
    "days": _days,
    "weekday": _weekday,
    "ahead": _ahead,
    "end": _end,
    "monthday": _monthday,
}
