"""A section of settings and how sections are read: environment > NAME_FILE > .env > default."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, overload

import pydantic_settings
from pydantic import BeforeValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

ENV_FILE = ".env"


class SettingsError(Exception):
    """The settings are wrong; `problems` holds one line per problem, each naming its variable."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def _split(value: object) -> object:
    return tuple(part for part in map(str.strip, value.split(",")) if part) if isinstance(value, str) else value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Values between commas; spaces around them and empty ones are dropped."""

SecretList = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
"""Secrets between commas."""


class Section(BaseSettings):
    """A frozen group of settings; a field's variable is `env_prefix` and the field's name, in capitals."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, NamedFileSource(settings_cls), dotenv_settings

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the environment variable of a field."""
        return f"{cls.model_config.get('env_prefix', '')}{field}".upper()


class NamedFileSource(PydanticBaseSettingsSource):
    """Values read from the file that NAME_FILE names, as container secrets are delivered."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("the source is read as a whole")

    def __call__(self) -> dict[str, Any]:
        section = cast("type[Section]", self.settings_cls)
        environment = EnvSettingsSource(section).env_vars
        dotenv = DotEnvSettingsSource(section).env_vars
        values: dict[str, Any] = {}
        problems: list[str] = []
        for field in section.model_fields:
            variable = section.variable(field)
            if environment.get(variable.lower()):
                continue  # the variable itself wins, so a stale file path does no harm
            key = f"{variable}_FILE".lower()
            path = environment.get(key) or dotenv.get(key)
            if not path:
                continue
            try:
                content = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
                problems.append(f"{variable}_FILE: cannot read {path} ({reason})")
                continue
            if content:
                values[field] = content
        if problems:
            raise SettingsError(problems)
        return values


A = TypeVar("A", bound=Section)
B = TypeVar("B", bound=Section)
C = TypeVar("C", bound=Section)
D = TypeVar("D", bound=Section)
E = TypeVar("E", bound=Section)
F = TypeVar("F", bound=Section)
G = TypeVar("G", bound=Section)
H = TypeVar("H", bound=Section)
J = TypeVar("J", bound=Section)
K = TypeVar("K", bound=Section)
M = TypeVar("M", bound=Section)


@overload
def load(a: type[A], /) -> tuple[A]: ...
@overload
def load(a: type[A], b: type[B], /) -> tuple[A, B]: ...
@overload
def load(a: type[A], b: type[B], c: type[C], /) -> tuple[A, B, C]: ...
@overload
def load(a: type[A], b: type[B], c: type[C], d: type[D], /) -> tuple[A, B, C, D]: ...
@overload
def load(a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], /) -> tuple[A, B, C, D, E]: ...
@overload
def load(a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], f: type[F], /) -> tuple[A, B, C, D, E, F]: ...
@overload
def load(
    a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], f: type[F], g: type[G], /
) -> tuple[A, B, C, D, E, F, G]: ...
@overload
def load(
    a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], f: type[F], g: type[G], h: type[H], /
) -> tuple[A, B, C, D, E, F, G, H]: ...
@overload
def load(
    a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], f: type[F], g: type[G], h: type[H], j: type[J], /
) -> tuple[A, B, C, D, E, F, G, H, J]: ...
@overload
def load(
    a: type[A],
    b: type[B],
    c: type[C],
    d: type[D],
    e: type[E],
    f: type[F],
    g: type[G],
    h: type[H],
    j: type[J],
    k: type[K],
    /,
) -> tuple[A, B, C, D, E, F, G, H, J, K]: ...
@overload
def load(
    a: type[A],
    b: type[B],
    c: type[C],
    d: type[D],
    e: type[E],
    f: type[F],
    g: type[G],
    h: type[H],
    j: type[J],
    k: type[K],
    m: type[M],
    /,
) -> tuple[A, B, C, D, E, F, G, H, J, K, M]: ...
def load(*sections: type[Section]) -> tuple[Section, ...]:
    """Read sections from the environment, named files and `.env`.

    Raises:
        SettingsError: some values are wrong; every problem of every section is named.
    """
    loaded: list[Section] = []
    problems: list[str] = []
    for section in sections:
        try:
            loaded.append(section())
        except SettingsError as error:
            problems += error.problems
        except ValidationError as error:
            problems += _problems(section, error.errors(include_url=False, include_context=False))
        except pydantic_settings.SettingsError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError(problems)
    return tuple(loaded)


def is_secret(field: FieldInfo) -> bool:
    """Return whether a field's value must not be shown."""
    return "SecretStr" in repr(field.annotation)


def _problems(section: type[Section], errors: Iterable[ErrorDetails]) -> Iterable[str]:
    for error in errors:
        sentence = error["msg"].removeprefix("Value error, ")
        if not error["loc"]:
            yield sentence  # a rule over several fields names them itself
            continue
        field = str(error["loc"][0])
        got = (
            "" if error["type"] == "missing" or is_secret(section.model_fields[field]) else f" (got {error['input']!r})"
        )
        yield f"{section.variable(field)}: {sentence[:1].lower()}{sentence[1:]}{got}"
