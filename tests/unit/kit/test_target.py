"""Where the replicas of a room are, as people write it and as gRPC wants it."""

import pytest

from kit.settings import SettingsError, TargetSettings, load
from kit.settings.target import channel_target, replica_names


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("127.0.0.1:8021", "127.0.0.1:8021"),
        ("ingest:8021", "ingest:8021"),
        ("dns:///ingest:8021", "dns:///ingest:8021"),
        ("ipv4:10.0.0.7:1,10.0.0.8:2", "ipv4:10.0.0.7:1,10.0.0.8:2"),
        ("10.0.0.7:8021,10.0.0.8:8031", "ipv4:10.0.0.7:8021,10.0.0.8:8031"),
        (" 10.0.0.7:8021 , 10.0.0.8:8031, ", "ipv4:10.0.0.7:8021,10.0.0.8:8031"),
        ("[::1]:8021,[fd00::2]:8031", "ipv6:[::1]:8021,[fd00::2]:8031"),
    ],
)
def test_a_target_is_one_address_or_a_list_or_a_name(written: str, name: str) -> None:
    assert channel_target(written) == name


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("", "names no address"),
        (" , ", "names no address"),
        ("10.0.0.7:8021,[::1]:8021", "mixes IPv4 and IPv6 addresses"),
        ("ingest-0:8021,ingest-1:8021", "ingest-0 is a name"),
        ("10.0.0.7:8021,10.0.0.8", "host:port"),
        ("10.0.0.7:8021,10.0.0.8:99999", "ports end at 65535"),
    ],
)
def test_a_target_that_nobody_would_find_stops_the_start(
    written: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=sentence):
        channel_target(written)
    if written:
        monkeypatch.setenv("INGEST_TARGET", written)
        with pytest.raises(SettingsError, match="INGEST_TARGET"):
            load(TargetSettings)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("ingest:8021", ["ingest:8021"]),
        ("dns:///ingest:8021", ["ingest:8021"]),
        ("dns:ingest:8021", ["ingest:8021"]),
        ("10.0.0.7:8021, 10.0.0.8:8031,", ["10.0.0.7:8021", "10.0.0.8:8031"]),
        ("ipv6:[::1]:8021,[fd00::2]:8031", ["[::1]:8021", "[fd00::2]:8031"]),
        ("unix:/run/agent/ingest", ["unix:/run/agent/ingest"]),
    ],
)
def test_a_target_names_its_replicas(written: str, names: list[str]) -> None:
    assert replica_names(written) == names
