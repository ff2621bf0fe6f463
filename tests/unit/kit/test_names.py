"""Names as shown: one line of visible text, whoever typed them; two of a name are told apart."""

import pytest

from kit.names import shown_name, told_apart


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("  Mark \t\n Weber ", "Mark Weber"),
        ("Анна Ё\u0308", "Анна Ё\u0308"),
        ("Ann\u202eevil\u2066", "Annevil"),
        ("A\x00\x1b[31mB", "A[31mB"),
        ("<b>Bob</b> & *co*", "<b>Bob</b> & *co*"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\u200d\u200b \ufeff", ""),
        ("\u3164", ""),
        ("\u0301", ""),
        ("x" * 200, "x" * 64),
    ],
)
def test_what_is_shown_of_a_name_is_what_can_be_seen(given: str, shown: str) -> None:
    assert shown_name(given) == shown


def test_a_name_that_is_taken_gets_a_number_and_stays_within_its_length() -> None:
    assert told_apart("Anna", frozenset()) == "Anna"
    assert told_apart("anna", frozenset({"Anna", "ANNA (2)"})) == "anna (3)"
    long = "x" * 64
    assert told_apart(long, frozenset({long})) == "x" * 60 + " (2)"
