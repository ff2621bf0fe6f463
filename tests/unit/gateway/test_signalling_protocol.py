"""Signalling messages: what is taken and what is not."""

import json

import pytest

from gateway.rooms.member import QUEUE_MESSAGES, Member
from gateway.rooms.protocol import (
    Chat,
    Consent,
    Join,
    Mute,
    Signal,
    SignallingError,
    parse_client_message,
    server_message,
)


def parse(**message: object) -> object:
    return parse_client_message(json.dumps(message), "room-1")


def test_messages_are_values():
    assert parse(type="join", name="Anna") == Join("Anna", "guest", "", "")
    assert parse(type="signal", to="x", data={"candidate": None}) == Signal("x", {"candidate": None})
    assert parse(type="mute", muted=True) == Mute(True, "")
    assert parse(type="join", name="Anna", recording=False) == Join("Anna", "guest", "", "", recording=False)
    assert parse(type="chat", text="hello", to="x") == Chat("hello", "x")
    assert parse(type="consent", recording=False) == Consent(False, "")


@pytest.mark.parametrize(
    "message",
    [
        {"type": "join", "name": "  "},
        {"type": "join", "name": "A", "room": "another"},
        {"type": "join", "name": "A", "role": "admin"},
        {"type": "join", "name": 7},
        {"type": "signal", "to": "x", "data": {"eval": "1"}},
        {"type": "signal", "to": "x", "data": {"candidate": None, "description": {}}},
        {"type": "mute", "muted": "yes"},
        {"type": "chat", "text": "  "},
        {"type": "consent"},
        {"type": "consent", "recording": "no"},
        {"type": "join", "name": "A", "recording": None},
        {"type": "join", "name": "\u202e\u200b\x07"},
        {"type": "dance"},
        {},
    ],
)
def test_other_messages_are_bad(message: dict[str, object]):
    with pytest.raises(SignallingError, match="bad-message"):
        parse_client_message(json.dumps(message), "room-1")


def test_names_are_cut_and_python_keywords_are_not():
    joined = parse(type="join", name="x" * 500)
    assert isinstance(joined, Join)
    assert len(joined.name) == 64
    assert json.loads(server_message("chat", from_="a", self_={})) == {"v": 1, "type": "chat", "from": "a", "self": {}}


def test_a_member_that_does_not_read_is_marked_and_keeps_what_it_has():
    member = Member("a", "A", "guest", 1, 0.0)
    for _ in range(QUEUE_MESSAGES):
        member.tell("ping")
    assert not member.overflowed.is_set()
    member.tell("ping")
    assert member.overflowed.is_set()
    assert member.outgoing.qsize() == QUEUE_MESSAGES
