"""Whether each room is installed, and would take its own settings."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from kit.settings import Section, SettingsError, load
from mesh.doctor.finding import Finding
from mesh.rooms import ROOMS, Room


def room_findings() -> Iterator[Finding]:
    """A line per room, or one per setting of it that is wrong."""
    for room in ROOMS:
        if not room.installed:
            yield Finding(room.name, "missing", f"pip install 'interview-analytics-agent[{room.name}]'")
            continue
        problems = list(setting_problems(room))
        for problem in problems:
            yield Finding(room.name, "missing", problem)
        if not problems:
            yield Finding(room.name, "ok", "installed")


def setting_problems(room: Room) -> Iterator[str]:
    """What the room itself would say about its settings, each line with the variable's name."""
    for section in _sections(settings_of(room)):
        try:
            load(section)
        except SettingsError as error:
            yield from error.problems


def settings_of(room: Room) -> ModuleType:
    """The module of a room's settings; rooms are known by name here, as they are processes of their own."""
    return import_module(f"{room.module}.settings")


def _sections(module: ModuleType) -> Iterator[type[Section]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Section) and value.__module__ == module.__name__:
            yield value
