"""The pages' words and files: both languages say everything, nothing is inline, nothing comes from elsewhere."""

import re
from pathlib import Path

import pytest

import gateway.pages

PAGES = Path(gateway.pages.__file__).parent
SCRIPTS = sorted((PAGES / "static" / "scripts").glob("*.js"))
HTML = sorted(PAGES.glob("*.html"))
_KEY = re.compile(r'^    "([a-z_.-]+)": "(.*)",$', re.MULTILINE)
_USED = re.compile(r"""(?:\bt\(|data-t=)["']([a-z_.-]+)["']""")


def words() -> tuple[dict[str, str], dict[str, str]]:
    text = (PAGES / "static" / "scripts" / "words.js").read_text(encoding="utf-8")
    english, russian = text.split("  ru: {")
    return dict(_KEY.findall(english)), dict(_KEY.findall(russian))


def test_both_languages_have_the_same_words():
    english, russian = words()
    assert len(english) > 100
    assert english.keys() == russian.keys()
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", russian[key])), key


def test_every_word_that_is_used_exists():
    english, _ = words()
    for file in [*SCRIPTS, *HTML]:
        for key in _USED.findall(file.read_text(encoding="utf-8")):
            assert key in english, f"{file.name}: {key}"


@pytest.mark.parametrize("file", HTML, ids=lambda file: file.name)
def test_pages_hold_nothing_inline_and_nothing_from_elsewhere(file: Path):
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text)
    for path in re.findall(r"""(?:src|href)=["'](/static/[^"']+)""", text):
        assert (PAGES / path.removeprefix("/")).is_file(), path


def test_scripts_never_make_markup_from_text():
    for file in SCRIPTS:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", file.read_text(encoding="utf-8")
        ), file.name
