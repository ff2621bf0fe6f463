"""The store takes snapshots as a whole, deltas row by row, and cleans every text."""

from dataclasses import fields

from google.protobuf.message import Message

from agent.console.v1 import console_service_pb2 as pb
from tests.fakes.console_server import page_of
from tui.rows import BreakerRow, QueueRow, RoomRow, Row, SessionRow
from tui.store import Store


def test_a_snapshot_replaces_what_was_there_when_its_last_page_is_taken() -> None:
    store = Store()
    store.take_snapshot(page_of([pb.ConsoleSession(meeting_id="old")]))
    store.take_snapshot(page_of([pb.ConsoleSession(meeting_id="a")], more=True))
    assert set(store.tables.sessions) == {"old"}
    store.take_snapshot(page_of([pb.ConsoleSession(meeting_id="b")]))
    assert set(store.tables.sessions) == {"a", "b"}


def test_an_unfinished_snapshot_can_be_dropped() -> None:
    store = Store()
    store.take_snapshot(page_of([pb.ConsoleSession(meeting_id="half")], more=True))
    store.drop_unfinished()
    store.take_snapshot(page_of([pb.ConsoleSession(meeting_id="whole")]))
    assert set(store.tables.sessions) == {"whole"}


def test_a_delta_adds_replaces_and_removes() -> None:
    store = Store()
    store.take_snapshot(page_of([pb.ConsoleRoom(room="stt", pid=1), pb.ConsoleQueue(queue="report")]))
    delta = page_of([pb.ConsoleRoom(room="stt", pid=2), pb.ConsoleBreaker(name="llm")])
    delta.gone.extend(["queues/report", "queues/unknown", "nonsense/x"])
    store.take_delta(delta)
    assert store.tables.rooms["stt"].pid == 2
    assert store.tables.queues == {}
    assert set(store.tables.breakers) == {"llm"}


def test_a_copy_of_the_tables_stands_still() -> None:
    store = Store()
    store.take_snapshot(page_of([pb.ConsoleSession(meeting_id="a", words=1)]))
    frozen = store.tables.copy()
    store.take_delta(page_of([pb.ConsoleSession(meeting_id="a", words=2)]))
    assert frozen.sessions["a"].words == 1


def test_rows_have_every_field_of_the_contract_and_every_text_is_cleaned() -> None:
    hostile = "\x1b]52;c;cHduZWQ=\x07\u202e"
    store = Store()
    messages: list[Message] = []
    kinds: dict[type[Row], type[Message]] = {
        RoomRow: pb.ConsoleRoom,
        SessionRow: pb.ConsoleSession,
        QueueRow: pb.ConsoleQueue,
        BreakerRow: pb.ConsoleBreaker,
    }
    for row_kind, message_kind in kinds.items():
        assert [field.name for field in fields(row_kind)] == [field.name for field in message_kind.DESCRIPTOR.fields]
        texts = [f.name for f in message_kind.DESCRIPTOR.fields if f.type == f.TYPE_STRING]
        messages.append(message_kind(**dict.fromkeys(texts, hostile)))
    store.take_snapshot(page_of(messages))
    for topic in ("rooms", "sessions", "queues", "breakers"):
        (row,) = getattr(store.tables, topic).values()
        texts = [value for field in fields(row) if isinstance(value := getattr(row, field.name), str)]
        assert texts
        assert set(texts) == {"]52;c;cHduZWQ="}
