"""Masking of personal data in log lines: what is hidden, what must stay readable, and at what cost."""

import io
import json
import logging
import time
from collections.abc import Iterator

import pytest

from kit.ids import new_id
from kit.telemetry import logs
from kit.telemetry.masking import MAX_CHARACTERS, Masking

MASKING = Masking("a key of the tests")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Where this process's log lines go, masked; afterwards they go where they went before."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    logs.configure("test", stream=stream, masking=MASKING)
    yield stream
    logs.configure("test", stream=io.StringIO())
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    "number",
    [
        "+79161234567",
        "79161234567",
        "89161234567",
        "8 916 123 45 67",
        "8 (916) 123-45-67",
        "8(916)1234567",
        "8-916-123-45-67",
        "+7 (916) 123-45-67",
        "+7 916 123-45-67",
        "+7\u00a0916\u00a0123-45-67",
        "+7.916.123.45.67",
        "(916) 123-45-67",
        "916 123-45-67",
        "916-123-4567",
    ],
)
def test_a_russian_number_has_one_pseudonym_however_it_is_written(number: str):
    one = MASKING.text("+79161234567")
    assert one.startswith("<phone ")
    assert MASKING.text(number) == one
    assert MASKING.text(f"cannot call {number}, try later") == f"cannot call {one}, try later"
    assert MASKING.text(f"tel:{number}") == f"tel:{one}"
    assert MASKING.text(f"5 {number}.") == f"5 {one}."


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("phone", "+49 30 901820"),
        ("phone", "+44 (0)20 7946 0958"),
        ("phone", "+1-202-555-0143"),
        ("phone", "8 (49232) 1-23-45"),
        ("phone", "8 800 555 35 35"),
        ("phone", "123-45-67"),
        ("email", "ivan.petrov+work@example.co.uk"),
        ("email", "иван@почта.рф"),
        ("card", "4111 1111 1111 1111"),
        ("card", "5555555555554444"),
        ("card", "3782-822463-10005"),
        ("ip", "8.8.4.4"),
        ("ip", "2a00:1450:4010:c0e::71"),
        ("token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
        ("token", "kU3s9Qw_ZxC7vB-nM1aSdFgHjKlPoIuYtReWq0"),
    ],
)
def test_what_belongs_to_somebody_is_hidden(kind: str, text: str):
    masked = MASKING.text(f"for {text}: no")
    assert masked.startswith(f"for <{kind} ")
    assert masked.endswith(">: no")


@pytest.mark.parametrize(
    "text",
    [
        "0199a7c2-8912-7345-8670-891612345678",
        "0199a7c2-1234-7123-8123-123456789012",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "samples 79872000 to 80640000 at 16000 Hz",
        "2026-11-21T19:39:19.123456+03:00",
        "2026-11-21 19:39:19 2026-11-22 08:00:00",
        "21.11.2026 19:39",
        "1795289959123",
        "1795289959123456",
        "1795289959123456789",
        "took 89.168 s of 100.200",
        "127.0.0.1:8021, 10.0.0.7:8021 and 192.168.100.200",
        "[::1]:8011",
        "fe80::1",
        "grpcio 1.85.1, PostgreSQL 17.2",
        "meetings/0199a7c2-1234-7123-8123-123456789012/tracks/3.flac",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "ERROR_REASON_MEETING_NOT_FOUND_IN_ANY_REPLICA",
        "1234567890123456",
        "ru@host",
        "http://127.0.0.1:8010/v1/meetings?page_size=50",
    ],
)
def test_what_we_write_ourselves_stays_readable(text: str):
    assert MASKING.text(text) == text


def test_identifiers_of_ours_are_never_taken_for_somebodys():
    for text in (f"meeting {new_id()} of {new_id()}" for _ in range(5_000)):
        assert MASKING.text(text) == text


def test_whole_lines_are_masked_in_depth_and_numbers_are_left(written: io.StringIO):
    log = logs.get()
    try:
        raise ValueError("no mailbox anna@example.org")
    except ValueError as error:
        log.exception(
            "delivery_failed",
            to={"people": ["anna@example.org", {"tel": "+79161234567"}]},
            samples=79161234567,
            cause=error,
        )
    logging.getLogger("library").warning("answered %s", "anna@example.org")
    ours, theirs = (json.loads(line) for line in written.getvalue().splitlines())
    [address, number] = ours["to"]["people"]
    assert address == MASKING.text("anna@example.org")
    assert number["tel"] == MASKING.text("+79161234567")
    assert ours["samples"] == 79161234567
    assert ours["cause"] == f"no mailbox {address}"
    assert "anna@" not in written.getvalue()
    assert "Traceback" in ours["exception"]
    assert theirs["event"] == f"answered {address}"


def test_pseudonyms_cannot_be_told_without_the_key():
    assert Masking("one").text("+79161234567") != Masking("other").text("+79161234567")
    assert Masking().text("+79161234567") != Masking().text("+79161234567")


@pytest.mark.parametrize("pattern", ["a", "a.", "1", "1-", "+1", "8 ", "a@", "aB1", "f:", "eyJ", "1.", "(495"])
def test_no_text_is_expensive(pattern: str):
    event = {"event": "x", "text": pattern * MAX_CHARACTERS, "more": ["y" * MAX_CHARACTERS], "deep": {"a": {"b": {}}}}
    began = time.process_time()
    masked = MASKING(None, "info", event)
    assert time.process_time() - began < 2.0
    assert len(str(masked)) < 4 * MAX_CHARACTERS
