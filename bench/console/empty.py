"""`python -m bench.console.empty`: the floor, an app of the same library that shows one line and has nothing to do."""

from textual.app import App, ComposeResult
from textual.widgets import Static

SHOWS = "nothing to see"


class Empty(App[None]):
    """One line."""

    def compose(self) -> ComposeResult:
        yield Static(SHOWS)


if __name__ == "__main__":
    Empty().run()
