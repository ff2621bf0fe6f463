"""What the gateway said last: the rows of every topic. The border where text from outside is cleaned."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from google.protobuf.message import Message

from agent.console.v1.console_service_pb2 import ConsolePage
from tui.clean import clean
from tui.rows import BreakerRow, QueueRow, RoomRow, Row, SessionRow, read_row

R = TypeVar("R", bound=Row)

TOPICS = (RoomRow.TOPIC, SessionRow.TOPIC, QueueRow.TOPIC, BreakerRow.TOPIC)


@dataclass(frozen=True, slots=True)
class Tables:
    """Rows by key, per topic."""

    rooms: dict[str, RoomRow] = field(default_factory=dict)
    sessions: dict[str, SessionRow] = field(default_factory=dict)
    queues: dict[str, QueueRow] = field(default_factory=dict)
    breakers: dict[str, BreakerRow] = field(default_factory=dict)

    def copy(self) -> "Tables":
        """Return tables that later changes leave alone; rows never change, so they are shared."""
        return replace(self, **{topic: dict(getattr(self, topic)) for topic in TOPICS})


class Store:
    """Takes pages of the stream. A snapshot replaces everything at once, when its last page is there.

    Args:
        ascii_only: whether texts are transliterated for a terminal without Unicode.
    """

    def __init__(self, *, ascii_only: bool = False) -> None:
        self.tables = Tables()
        self.ready = False
        """Whether a whole snapshot was taken."""
        self.version = 0
        """Number of changes so far."""
        self._clean = partial(clean, ascii_only=ascii_only)
        self._arriving: Tables | None = None

    @property
    def in_snapshot(self) -> bool:
        """Whether pages of a snapshot are still to come."""
        return self._arriving is not None

    def clean(self, text: str) -> str:
        """Clean a text that reaches the console beside the rows."""
        return self._clean(text)

    def take_snapshot(self, page: ConsolePage) -> None:
        """Take a page of a snapshot."""
        arriving = self._arriving or Tables()
        self._put(arriving, page)
        if page.more:
            self._arriving = arriving
            return
        self._arriving, self.tables, self.ready = None, arriving, True
        self.version += 1

    def take_delta(self, page: ConsolePage) -> None:
        """Take rows that are new or changed and forget those that are gone."""
        self._put(self.tables, page)
        for path in page.gone:
            topic, _, key = path.partition("/")
            if topic in TOPICS:
                getattr(self.tables, topic).pop(self._clean(key), None)
        self.version += 1

    def drop_unfinished(self) -> None:
        """Forget the pages of a snapshot that will not be completed."""
        self._arriving = None

    def _put(self, tables: Tables, page: ConsolePage) -> None:
        self._put_rows(tables.rooms, RoomRow, page.rooms)
        self._put_rows(tables.sessions, SessionRow, page.sessions)
        self._put_rows(tables.queues, QueueRow, page.queues)
        self._put_rows(tables.breakers, BreakerRow, page.breakers)

    def _put_rows(self, table: dict[str, R], kind: type[R], messages: Iterable[Message]) -> None:
        for message in messages:
            row = read_row(kind, message, self._clean)
            table[row.key] = row
