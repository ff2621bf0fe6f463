"""Every cue of every lexicon hits its sentence and leaves its near miss alone."""

import pytest

from services.report.analysis.language import LANGUAGES
from services.report.analysis.lexicon import GROUPS, Cue, lexicon
from services.report.analysis.words import fold

CUES = [
    pytest.param(cue, id=f"{language}-{group}-{index}")
    for language in LANGUAGES
    for group in GROUPS
    for index, cue in enumerate(lexicon(language).cues[group])
]


@pytest.mark.parametrize("cue", CUES)
def test_a_cue_hits_its_sentence_and_misses_the_near_one(cue: Cue) -> None:
    assert cue.search(fold(cue.hit)), cue.hit
    assert not cue.search(fold(cue.miss)), cue.miss


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_group_has_a_cue(language: str) -> None:
    assert all(lexicon(language).cues[group] for group in GROUPS)


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(LookupError, match="tlh"):
        lexicon("tlh")


@pytest.mark.parametrize("text", ["İstanbul will be fine", "ЁЛКА", "I’ll send it", ""])
def test_folding_keeps_every_place(text: str) -> None:
    assert len(fold(text)) == len(text)
