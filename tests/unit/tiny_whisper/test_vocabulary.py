"""The model's tokens: whole words, and the order that CTranslate2 and faster-whisper read meaning out of."""

from random import Random

import pytest

from tools.tiny_whisper.language import CODES, load_language
from tools.tiny_whisper.vocabulary import TIMES, build_tokenizer, lay_out, word_tokens

_TOKENIZER = build_tokenizer()
_LAYOUT = lay_out(_TOKENIZER)


@pytest.mark.parametrize("code", CODES)
def test_text_survives_the_way_through_tokens(code: str) -> None:
    draw, language = Random(1), load_language(code)
    for text in (language.sentence(draw) for _ in range(200)):
        tokens = [token for word in text.split() for token in word_tokens(_TOKENIZER, word)]
        assert _TOKENIZER.decode(tokens).strip() == text
        assert max(tokens) < _LAYOUT.end


@pytest.mark.parametrize("code", CODES)
def test_every_word_is_one_token_in_both_cases(code: str) -> None:
    for word in load_language(code).words:
        for form in (word, word[0].upper() + word[1:]):
            assert len(word_tokens(_TOKENIZER, form)) == 1, form


def test_unknown_words_are_spelled_out() -> None:
    tokens = word_tokens(_TOKENIZER, "Zürich-Москва")
    assert len(tokens) > 2
    assert _TOKENIZER.decode(tokens) == " Zürich-Москва"


def test_the_layout_is_whispers() -> None:
    assert _LAYOUT.start == _LAYOUT.end + 1
    assert _LAYOUT.no_speech - _LAYOUT.start - 5 == len(CODES)
    assert _LAYOUT.first_time == _LAYOUT.no_times + 1
    assert _LAYOUT.size == _LAYOUT.first_time + TIMES
    assert _TOKENIZER.token_to_id("") is not None, "CTranslate2 takes a vocabulary without it for an English-only model"


def test_times_are_tokens_of_20_ms() -> None:
    assert _TOKENIZER.id_to_token(_LAYOUT.time(1.5)) == "<|1.50|>"
    assert _LAYOUT.time(-1.0) == _LAYOUT.first_time
    assert _TOKENIZER.id_to_token(_LAYOUT.time(31.0)) == "<|30.00|>"


def test_the_tokenizer_is_the_same_every_time() -> None:
    assert build_tokenizer().to_str() == _TOKENIZER.to_str()
