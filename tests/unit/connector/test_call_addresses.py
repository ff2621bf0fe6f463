"""Addresses of Janus rooms and WHEP streams, and what is read of session descriptions."""

import pytest
from pydantic import SecretStr

from services.connector.provider import CallRefused
from services.connector.providers.janus import JanusSettings, janus_address
from services.connector.providers.whep import WhepSettings, name_in, whep_address
from services.connector.webrtc.sdp import AudioLine, audio_lines

JANUS = JanusSettings(
    url="wss://janus.example.org/ws",
    hosts=("other.example.org",),
    api_secret=SecretStr("secret"),
    room_pin=SecretStr("0815"),
)


@pytest.mark.parametrize("address", ["1234", "janus://janus.example.org/1234", "wss://janus.example.org/ws?room=1234"])
def test_a_room_of_the_own_server_is_joined_with_its_secrets(address: str) -> None:
    found = janus_address(address, JANUS)
    assert (found.url, found.room, found.pin) == ("wss://janus.example.org/ws", 1234, "0815")
    assert found.proofs == {"apisecret": "secret"}


def test_another_server_sees_none_of_our_secrets() -> None:
    found = janus_address("https://other.example.org/janus?room=1234&pin=77", JANUS)
    assert (found.url, found.room, found.pin, found.proofs) == ("https://other.example.org/janus", 1234, "77", {})
    assert janus_address("janus://other.example.org/5", JANUS).url == "wss://other.example.org/ws"


@pytest.mark.parametrize(
    "address", ["", "x", "janus://janus.example.org/", "wss://janus.example.org/ws", "wss://evil.example.org/?room=1"]
)
def test_what_is_no_room_is_refused(address: str) -> None:
    with pytest.raises(CallRefused):
        janus_address(address, JANUS)


def test_rooms_may_have_names() -> None:
    settings = JanusSettings(url="ws://127.0.0.1:8188", string_rooms=True)
    assert janus_address("janus://127.0.0.1/daily%20call", settings).room == "daily call"


def test_names_in_a_streams_address_stay_with_us() -> None:
    found = whep_address("https://a.example.org/s?name=Anna&q=1&name=Boris", WhepSettings(hosts=("a.example.org",)))
    assert (found.url, found.names) == ("https://a.example.org/s?q=1", ("Anna", "Boris"))


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        ("Anna", "Anna"),
        ("Anna_Weber", "Anna Weber"),
        ("%D0%90%D0%BD%D0%BD%D0%B0", "Анна"),
        ("-", ""),
        ("janus", ""),
        ("stream0", ""),
        ("f0f41d69-8034-4c9a-855a-e66b412fe467", ""),
        ("WMgTWexgLjwPcvNTPEJkqsGUvQMJGTmmrcxq", ""),
    ],
)
def test_only_what_reads_like_a_name_is_one(stream: str, name: str) -> None:
    assert name_in(stream) == name


def test_audio_lines_are_read_with_their_direction_and_stream() -> None:
    sdp = "\r\n".join(
        [
            "v=0",
            "a=recvonly",
            "m=video 9 UDP/TLS/RTP/SAVPF 96",
            "a=mid:v",
            "a=sendonly",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
            "a=mid:a1",
            "a=sendonly",
            "a=msid:Anna track-1",
            "m=audio 0 UDP/TLS/RTP/SAVPF 111",
            "a=mid:a2",
            "m=audio 0 UDP/TLS/RTP/SAVPF 111",
            "a=bundle-only",
            "",
        ]
    )
    assert audio_lines(sdp) == [AudioLine("a1", True, "Anna", "track-1"), AudioLine("3", False)]
