"""A section of settings and how sections are read: environment > NAME_FILE > .env > vault > default."""

from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, TypeVar, overload

import pydantic_settings
from pydantic import BeforeValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from kit.settings.problems import SettingsError
from kit.settings.sources import NamedFileSource, OlderNamesSource, VaultSource

ENV_FILE = ".env"


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
    older_names: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Variables that a field had in other products; its own name wins over them."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = cls.local_sources(settings_cls, init_settings, env_settings, dotenv_settings)
        return (*sources, VaultSource(settings_cls))

    @classmethod
    def local_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of this machine, the strongest first."""
        return (
            init_settings,
            env_settings,
            OlderNamesSource(settings_cls, "environment"),
            NamedFileSource(settings_cls),
            dotenv_settings,
            OlderNamesSource(settings_cls, "dotenv"),
        )

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the environment variable of a field."""
        return f"{cls.model_config.get('env_prefix', '')}{field}".upper()

    @classmethod
    def variables(cls, field: str) -> tuple[str, ...]:
        """Return the environment variable of a field and its older names."""
        return (cls.variable(field), *cls.older_names.get(field, ()))


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
N = TypeVar("N", bound=Section)


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
    n: type[N],
    /,
) -> tuple[A, B, C, D, E, F, G, H, J, K, M, N]: ...
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
        raise SettingsError(tuple(dict.fromkeys(problems)))  # a vault that is away fails every section alike
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
