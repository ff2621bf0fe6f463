"""What can be written after `:`; each command is a view, an order or a meeting to follow. No Textual here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tui.errors import ConsoleError
from tui.orders import Order
from tui.widgets.nav import VIEWS


class UnknownCommand(ConsoleError):
    """Nothing goes by this name."""


@dataclass(frozen=True, slots=True)
class Go:
    """Show a view, with a filter if there is one."""

    place: str
    wanted: str = ""


@dataclass(frozen=True, slots=True)
class Tail:
    """Follow a meeting."""

    meeting_id: str


@dataclass(frozen=True, slots=True)
class Sort:
    """Sort the table that has the focus."""

    column: str
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Quit:
    """Leave the console."""


Command = Go | Tail | Sort | Quit | Order

_ALIASES = {"rooms": "services", "dlq": "queues", "home": "overview"}
_ORDERS: Mapping[str, Callable[[str, str], Order]] = {
    "join": lambda what, provider: Order("session.join", what, "join this meeting", provider=provider),
    "reconcile": lambda what, _: Order("connector.reconcile", what, "reconcile"),
    "live-pull": lambda what, _: Order("connector.live_pull", what, "pull"),
    "rebuild": lambda what, _: Order("report.rebuild", what, "rebuild this report"),
}
_NEED_A_TARGET = frozenset({"join", "rebuild", "tail"})


def read_command(text: str) -> Command | None:
    """Understand a line; None for an empty one.

    Raises:
        UnknownCommand: nothing goes by this name, or it needs to know about what.
    """
    words = text.split()
    if not words:
        return None
    name, what, more = words[0].casefold(), " ".join(words[1:2]), " ".join(words[2:3])
    if name in _NEED_A_TARGET and not what:
        raise UnknownCommand(f":{name} needs a meeting, for example :{name} 0199a7c2-...")
    if name in {"q", "quit"}:
        return Quit()
    if name == "sort":
        return Sort(what.casefold(), backwards=more.startswith(("back", "desc")))
    if name == "tail":
        return Tail(what)
    if name in _ORDERS:
        return _ORDERS[name](what, more)
    places = [place for place in VIEWS.values() if place.startswith(_ALIASES.get(name, name))]
    if len(places) != 1:
        raise UnknownCommand(f"there is no command :{name}; ? shows those that there are")
    return Go(places[0], " ".join(words[1:]))
