"""What can be set: the variables of sections, for `.env.example` and the generated documentation."""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from kit.settings.section import Section, is_secret


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable.

    `default` is written as it would stand in an `.env`; empty means unset. `choices` is empty when the value is free.
    """

    name: str
    section: str
    default: str
    description: str
    choices: tuple[str, ...]
    secret: bool


def describe(sections: Iterable[type[Section]]) -> list[Variable]:
    """List the variables of sections in the order of their fields."""
    return [
        Variable(
            name=section.variable(name),
            section=inspect.cleandoc(section.__doc__ or section.__name__).splitlines()[0],
            default=_written(field.get_default(call_default_factory=True, validated_data={})),
            description=" ".join((field.description or "").split()),
            choices=_choices(field),
            secret=is_secret(field),
        )
        for section in sections
        for name, field in section.model_fields.items()
    ]


def _choices(field: FieldInfo) -> tuple[str, ...]:
    if get_origin(field.annotation) is Literal:
        return tuple(str(choice) for choice in get_args(field.annotation))
    if isinstance(field.annotation, type) and issubclass(field.annotation, Enum):
        return tuple(str(member.value) for member in field.annotation)
    return ("true", "false") if field.annotation is bool else ()


def _written(default: Any) -> str:
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case Enum():
            return str(default.value)
        case PurePath():
            return default.as_posix()
        case tuple() | list() | frozenset():
            return ",".join(_written(part) for part in default)
    return "" if not isinstance(default, str | int | float) else str(default)
