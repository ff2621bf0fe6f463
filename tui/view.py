"""What the screens look at: the newest rows or a frozen copy, the link, the figures, the filters. No Textual here."""

from typing import TYPE_CHECKING

from tui.condition import session_condition
from tui.glyphs import Glyphs
from tui.link import Link, LinkState
from tui.orders import Caller
from tui.rows import Row, SessionRow, row_text
from tui.store import Store, Tables
from tui.vitals import Vitals

if TYPE_CHECKING:
    from tui.desk import Desk

_SAMPLE_SECONDS = 1.0


class View:
    """Shared by all widgets; they read it on the screen's clock, never on the stream's."""

    def __init__(
        self,
        store: Store,
        link: Link,
        *,
        target: str,
        glyphs: Glyphs,
        desk: "Desk | None" = None,
        read_only: bool = False,
        tenant: str = "",
    ) -> None:
        self.store = store
        self.link = link
        self.target = target
        self.glyphs = glyphs
        self.vitals = Vitals()
        self.desk = desk
        """For questions and orders; None: there is only the stream."""
        self.read_only = read_only
        """Whether this console gives no orders, whatever the caller may do."""
        self.tenant = tenant
        """Tenant that the operator asked to act for; empty: the one that the key belongs to."""
        self.caller: Caller | None = None
        """Who the gateway takes us for; None until it said so."""
        self.under_way: set[tuple[str, str]] = set()
        """Actions and targets of the orders that are not answered yet."""
        self.place = ""
        """Name of the screen that is looked at; each has its own filter."""
        self._filters: dict[str, Filter] = {}
        self.now = 0.0
        """Moment of the monotonic clock at which the screen is drawn."""
        self._sampled_at: float | None = None
        self._frozen: Tables | None = None

    @property
    def tables(self) -> Tables:
        """The rows to show."""
        return self._frozen or self.store.tables

    @property
    def filter(self) -> "Filter":
        """What the rows of this screen must match."""
        return self._filters.get(self.place) or _EVERYTHING

    @filter.setter  # noqa: A003
    def filter(self, wanted: "Filter") -> None:
        self._filters[self.place] = wanted

    @property
    def may_act(self) -> bool:
        """Whether orders are worth giving; the server decides about each."""
        known = self.desk is not None and self.caller is not None and self.caller.may_act
        return known and not self.read_only and self.link_state == "live"

    def why_not_act(self) -> str:
        """Return why no order can be given now, as a sentence; empty if one can."""
        if self.may_act:
            return ""
        if self.read_only:
            return "this console is read-only: it was started with --read-only"
        if self.link_state != "live":
            return "no order can be given while the gateway does not answer"
        if self.caller is None:
            return "the gateway has not said yet what this key may do"
        return f"{self.caller.subject} is a {self.caller.role}: this key only looks"

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
    """Words that a row must have, without regard to case; a word after `!` is one that it must not have."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        words = self.text.casefold().split()
        self._wanted = [word for word in words if not word.startswith("!")]
        self._unwanted = [word[1:] for word in words if len(word) > 1 and word.startswith("!")]

    def __bool__(self) -> bool:
        return bool(self._wanted or self._unwanted)

    def matches(self, row: Row) -> bool:
        """Return whether a row is to be shown."""
        if isinstance(row, SessionRow):
            return self.matches_text(
                f"{row.meeting_id} {row.title} {row.provider} {session_condition(row).word} {row.note}"
            )
        return self.matches_text(row_text(row))

    def matches_text(self, text: str) -> bool:
        """Return whether something with this text is to be shown."""
        text = text.casefold()
        return all(word in text for word in self._wanted) and not any(word in text for word in self._unwanted)


_EVERYTHING = Filter("")
