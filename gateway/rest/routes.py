"""The routes of a path: a request is compared with the few templates whose literal segments it has."""

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, Generic, TypeVar

from gateway.rest.template import PathTemplate

T = TypeVar("T")
_Entry = tuple[int, PathTemplate, T]


class RouteTable(Generic[T]):
    """Routes by the literal segments of their templates.

    Args:
        routes: templates and what is there, the most specific first.
    """

    def __init__(self, routes: Iterable[tuple[PathTemplate, T]]) -> None:
        self._anywhere: list[_Entry[T]] = []
        # By number of segments, then by which of them are literal, then by those literals.
        self._shapes: dict[int, dict[tuple[int, ...], dict[Any, list[_Entry[T]]]]] = {}
        for number, (template, there) in enumerate(routes):
            skeleton = template.skeleton
            if skeleton is None:
                self._anywhere.append((number, template, there))
                continue
            literal = tuple(place for place, segment in enumerate(skeleton) if segment is not None)
            shape = self._shapes.setdefault(len(skeleton), {}).setdefault(literal, {})
            shape.setdefault(itemgetter(*literal)(skeleton), []).append((number, template, there))
        self._found: dict[int, list[tuple[Callable[[Any], Any], dict[Any, list[_Entry[T]]]]]] = {
            length: [(itemgetter(*literal), shape) for literal, shape in shapes.items()]
            for length, shapes in self._shapes.items()
        }

    def at(self, path: str) -> Iterator[tuple[T, dict[str, str]]]:
        """Yield everything at a path, still percent-encoded, with the values of its template's fields, in order."""
        segments = path.split("/")
        entries = list(self._anywhere)
        for literals_of, shape in self._found.get(len(segments), ()):
            entries += shape.get(literals_of(segments), ())
        if len(entries) > 1:
            entries.sort(key=_number)
        for _, template, there in entries:
            values = template.match(path)
            if values is not None:
                yield there, values


_number: Callable[[Any], int] = itemgetter(0)
