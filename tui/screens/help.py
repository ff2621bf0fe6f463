"""The help: every key that works, read from the bindings themselves, and what the marks mean."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.view import View
from tui.widgets.banner import Banner

KeyGroup = tuple[str, Sequence[tuple[str, str]]]
"""A title, and keys with what they do."""


class Help(ModalScreen[None]):
    """Any of its keys closes it."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (96, "-roomy")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss", "close", show=False)]
    CSS = """
    Help { align: center middle; background: $background 60%; }
    Help > VerticalScroll {
        width: 96; max-width: 98%; height: auto; max-height: 96%; padding: 1 2; background: $surface;
        border: round $accent; border-title-color: $accent; border-subtitle-color: $text-muted;
        scrollbar-size-vertical: 1; scrollbar-background: $surface; scrollbar-color: $border;
    }
    Help.ascii > VerticalScroll { border: ascii $accent; scrollbar-size-vertical: 0; }
    Help Horizontal { height: auto; layout: grid; grid-size: 2; grid-rows: auto; }
    Help .keys { width: 1fr; height: auto; }
    Help.-narrow > VerticalScroll { padding: 0 2; }
    Help Banner { margin-bottom: 1; }
    Help .marks { height: auto; margin-top: 1; }
    """

    def __init__(self, groups: Sequence[KeyGroup], view: View) -> None:
        super().__init__(classes="ascii" if view.glyphs.is_ascii else None)
        self.groups = groups
        self.view = view

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title, box.border_subtitle = "help", "up and down for more, esc closes"
            yield Banner(self.view)
            with Horizontal():
                for title, keys in self.groups:
                    yield Static(_key_list(title, keys), classes="keys")
            yield Static(self._marks(), classes="marks")

    def _marks(self) -> Content:
        glyphs = self.view.glyphs
        return Content.assemble(
            ("Sessions  ", "dim"),
            (f"{glyphs.ok} LIVE  ", "$text-success"),
            (f"{glyphs.idle} CONNECT  ", "$text-secondary"),
            (f"{glyphs.warn} DEGRADED  {glyphs.again} RECONN  ", "$text-warning"),
            (f"{glyphs.stalled} STALLED  {glyphs.error} FAILED", "$text-error"),
            "\n",
            ("LAG is the age of the oldest audio without final text; a long sentence counts too.\n", "dim"),
            ("The filter takes words a row must have, and !words it must not have.", "dim"),
        )


def key_group(title: str, bindings: Iterable[BindingType], display: "dict[str, str]") -> KeyGroup:
    """Describe bindings; `display` says how keys are written where that is not their name."""
    keys: list[tuple[str, str]] = []
    for binding in Binding.make_bindings(bindings):
        shown = binding.key_display or display.get(binding.key, binding.key)
        what = binding.tooltip or binding.description.lower()
        if keys and keys[-1][1] == what:  # "up,k" becomes two bindings
            keys[-1] = (f"{keys[-1][0]} {shown}", what)
        else:
            keys.append((shown, what))
    return title, keys


def _key_list(title: str, keys: Sequence[tuple[str, str]]) -> Content:
    lines = [Content.styled(title, "bold")]
    lines += [Content.assemble((f"{key:<11}", "$accent"), what) for key, what in keys]
    return Content("\n").join(lines)
