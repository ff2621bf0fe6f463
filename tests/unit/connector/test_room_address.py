"""Where a room is, and who gets to see the recorder's key."""

import pytest

from services.connector.provider import JoinSpec, SourceLost, Surroundings
from services.connector.providers.room import room_address

HERE = Surroundings("https://meet.example.org", "secret")


def test_the_meetings_own_room_is_at_the_gateway() -> None:
    address = room_address(JoinSpec("m 1", "t"), HERE)
    assert address.url == "wss://meet.example.org/v1/rooms/m%201/signal"
    assert (address.room, address.credential) == ("m 1", "secret")


def test_a_named_room_of_the_gateway_gets_the_key() -> None:
    address = room_address(JoinSpec("m", "t", meeting_url="https://meet.example.org/rooms/weekly"), HERE)
    assert address.url == "wss://meet.example.org/v1/rooms/weekly/signal"
    assert (address.room, address.credential) == ("weekly", "secret")


def test_another_host_never_sees_the_key() -> None:
    address = room_address(JoinSpec("m", "t", meeting_url="http://elsewhere.example:8010/v1/rooms/r/signal"), HERE)
    assert address.url == "ws://elsewhere.example:8010/v1/rooms/r/signal"
    assert address.credential is None


@pytest.mark.parametrize("url", ["ftp://host/rooms/r", "https://host/meeting", "rooms/r", "https:///rooms/r"])
def test_what_is_not_a_room_is_refused(url: str) -> None:
    with pytest.raises(SourceLost):
        room_address(JoinSpec("m", "t", meeting_url=url), HERE)
