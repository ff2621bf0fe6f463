"""Text from outside is harmless before anything shows it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.clean import MAX_CHARACTERS, clean


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Weekly sync", "Weekly sync"),
        ("\x1b]0;title\x07x", "]0;title x"),
        ("\x9b31mred", "31mred"),
        ("two\nlines\tand\r\nmore", "two lines and more"),
        ("\u202edrow\u202c \u2066isolated\u2069", "drow isolated"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("line para", "line para"),
        ("a" + "\u0304" * 50, "ā\u0304\u0304"),
        ("Собеседование", "Собеседование"),
        ("[red]not markup[/]", "[red]not markup[/]"),
    ],
)
def test_control_characters_and_overrides_are_taken_out(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Щука — ёж №5", "Schuka - yozh No5"),
        ("Café «Zoë»…", 'Cafe "Zoe"...'),
        ("会議", "??"),
    ],
)
def test_ascii_terminals_get_transliterated_text(text: str, shown: str) -> None:
    assert clean(text, ascii_only=True) == shown


@given(st.text(max_size=2 * MAX_CHARACTERS), st.booleans())
def test_any_text_becomes_one_printable_bounded_line(text: str, ascii_only: bool) -> None:
    shown = clean(text, ascii_only=ascii_only)
    assert len(shown) <= MAX_CHARACTERS
    assert shown.isprintable()
    assert not ascii_only or shown.isascii()
    assert clean(shown, ascii_only=ascii_only) == shown
