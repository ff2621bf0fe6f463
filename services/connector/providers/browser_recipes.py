"""Recipes: how a recorder enters a site and learns who speaks there; data, read from `browser_recipes.toml`."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_BUILT_IN = Path(__file__).with_suffix(".toml")
_ANYWHERE = "anywhere"


class RecipeWrong(Exception):
    """A file of recipes cannot be used; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One site; the fields are explained in `browser_recipes.toml`."""

    address: str
    name_fields: Sequence[str]
    buttons: Sequence[str]
    inside: str
    over: str
    speaker_name: str
    speaker_id: str


def read_recipes(more: Path | None) -> Sequence[Recipe]:
    """Return every recipe, those of the file `more` first and the one for any site last.

    Raises:
        RecipeWrong: a file is not there, not TOML, or says what no recipe says.
    """
    built_in = _tables(_BUILT_IN)
    anywhere = built_in.pop(_ANYWHERE)
    own = _tables(more) if more is not None else {}
    return [
        *(_recipe(name, {**anywhere, **table}) for name, table in {**own, **built_in}.items()),
        _recipe(_ANYWHERE, anywhere),
    ]


def recipe_for(recipes: Sequence[Recipe], url: str) -> Recipe:
    """Return the first recipe whose address is found in the host and path of `url`."""
    parts = urlsplit(url)
    place = f"{parts.netloc}{parts.path}"
    return next(recipe for recipe in recipes if re.search(recipe.address, place))


def _tables(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeWrong(f"{path} cannot be read ({error})") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise RecipeWrong(f"{path}: {name} is not a table")
    return tables


def _recipe(name: str, table: Mapping[str, Any]) -> Recipe:
    kinds = {field.name: field.type for field in fields(Recipe)}
    for key, value in table.items():
        if key not in kinds:
            raise RecipeWrong(f"[{name}] says {key}, which no recipe has")
        texts = [value] if kinds[key] is str else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise RecipeWrong(f"[{name}] {key} has the wrong type")
    try:
        re.compile(table["address"])
    except re.error as error:
        raise RecipeWrong(f"[{name}] address is not a regular expression ({error})") from error
    return Recipe(**table)
