"""What the demonstration model is taught covers what the project says to it."""

from random import Random

import pytest

from examples.interview.interview import load
from tests.data.speech.sentences import sentences
from tools.tiny_whisper.language import CODES, load_language


@pytest.mark.parametrize("code", CODES)
def test_a_language_has_the_same_101_words_that_the_readme_promises(code: str) -> None:
    assert len(load_language(code).words) == 101


@pytest.mark.parametrize("code", CODES)
def test_every_sentence_of_the_sample_call_and_of_the_speech_tests_is_taught(code: str) -> None:
    said = [one.text for one in load(code).utterances()] + [one.text for one in sentences(code)]
    assert [text for text in said if not load_language(code).covers(text)] == []


@pytest.mark.parametrize("code", CODES)
def test_sentences_follow_from_the_seed_alone(code: str) -> None:
    def some(seed: int) -> list[str]:
        draw, language = Random(seed), load_language(code)
        return [language.sentence(draw) for _ in range(50)] + [language.shuffle(draw) for _ in range(50)]

    assert some(1) == some(1)
    assert some(1) != some(2)


@pytest.mark.parametrize("code", CODES)
def test_sentences_are_cased_punctuated_and_of_known_words(code: str) -> None:
    draw, language = Random(3), load_language(code)
    known = {word.lower() for word in language.words}
    for text in [language.sentence(draw) for _ in range(300)] + [language.shuffle(draw) for _ in range(300)]:
        assert text[0].isupper()
        assert text[-1] in ".?"
        assert {word.strip(".,?").lower() for word in text.split()} <= known


@pytest.mark.parametrize("code", CODES)
def test_a_sentence_does_not_take_a_word_of_a_class_twice(code: str) -> None:
    draw, language = Random(5), load_language(code)
    for text in (language.sentence(draw) for _ in range(500)):
        said = [word.strip(".,?") for word in text.lower().split()]
        for words in language.classes.values():
            drawn = [word for word in said if word in words]
            # A class word may also stand in the pattern itself: "a question about the meeting".
            assert len(drawn) - len(set(drawn)) <= 1


def test_a_sentence_of_known_words_in_a_foreign_order_is_not_covered() -> None:
    assert not load_language("en").covers("Meeting the hello you thank.")
    assert load_language("en").covers("hello and thank you for the meeting")
