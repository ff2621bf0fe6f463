"""What the screens look at: the newest rows or a frozen copy, the link, the figures, the filter. No Textual here."""

from tui.condition import session_condition
from tui.glyphs import Glyphs
from tui.link import Link, LinkState
from tui.rows import SessionRow
from tui.store import Store, Tables
from tui.vitals import Vitals

_SAMPLE_SECONDS = 1.0


class View:
    """Shared by all widgets; they read it on the screen's clock, never on the stream's."""

    def __init__(self, store: Store, link: Link, *, target: str, glyphs: Glyphs) -> None:
        self.store = store
        self.link = link
        self.target = target
        self.glyphs = glyphs
        self.vitals = Vitals()
        self.filter = Filter("")
        self.now = 0.0
        """Moment of the monotonic clock at which the screen is drawn."""
        self._sampled_at: float | None = None
        self._frozen: Tables | None = None

    @property
    def tables(self) -> Tables:
        """The rows to show."""
        return self._frozen or self.store.tables

    @property
    def paused(self) -> bool:
        """Whether the screen stands still."""
        return self._frozen is not None

    @property
    def link_state(self) -> LinkState:
        """The state of the stream when the screen is drawn."""
        return self.link.state(self.now)

    def tick(self, now: float) -> None:
        """Let time pass; figures are sampled only while the data is fresh."""
        self.now = now
        due = self._sampled_at is None or now - self._sampled_at >= _SAMPLE_SECONDS
        if due and self.store.ready and not self.paused and self.link_state == "live":
            self._sampled_at = now
            self.vitals.sample(self.store.tables, now)

    def toggle_pause(self) -> None:
        """Freeze what is shown, or follow again; the stream goes on either way."""
        self._frozen = None if self.paused else self.store.tables.copy()


class Filter:
    """Words that a session must have, without regard to case; a word after `!` is one that it must not have."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        words = self.text.casefold().split()
        self._wanted = [word for word in words if not word.startswith("!")]
        self._unwanted = [word[1:] for word in words if len(word) > 1 and word.startswith("!")]

    def __bool__(self) -> bool:
        return bool(self._wanted or self._unwanted)

    def matches(self, row: SessionRow) -> bool:
        """Return whether a session is to be shown."""
        text = f"{row.meeting_id} {row.title} {row.provider} {session_condition(row).word} {row.note}".casefold()
        return all(word in text for word in self._wanted) and not any(word in text for word in self._unwanted)
