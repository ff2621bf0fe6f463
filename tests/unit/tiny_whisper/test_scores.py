"""Scores: what counts as heard, and how it is written down."""

import json
from pathlib import Path

import numpy as np
import pytest

from services.stt.engines.engine import HeardWord, Hypothesis
from tools.tiny_whisper.evaluation import Score
from tools.tiny_whisper.scores import table, write_scores
from tools.tiny_whisper.synthesis import Kind, SpokenSentence

_SPOKEN = SpokenSentence(
    "ru",
    Kind.SENTENCE,
    "Да, ещё пять дней.",
    "ru",
    np.zeros(16_000, np.int16),
    ((0.0, 0.2), (0.2, 0.4), (0.4, 0.7), (0.7, 1.0)),
)


def _heard(text: str, starts: tuple[float, ...]) -> Hypothesis:
    words = tuple(HeardWord(word, start, start + 0.1, 0.9) for word, start in zip(text.split(), starts, strict=True))
    return Hypothesis(text, words, -0.3, 0.0, "ru", 1.0, "evaluated", "model")


def _score() -> Score:
    score = Score("ru", Kind.SENTENCE)
    score.add(_SPOKEN, _heard("Да, ещё пять дней.", (0.25, 0.47, 0.65, 1.05)), "ru")
    score.add(_SPOKEN, _heard("Да еще пять лет.", (0.0, 0.5, 0.6, 0.9)), "en")
    return score


def test_words_count_without_case_and_marks_and_texts_with_them() -> None:
    score = _score()
    assert score.word_error_rate == pytest.approx(1 / 8)
    assert score.exact_share == 0.5
    assert score.detected_share == 0.5


def test_word_starts_count_for_sentences_whose_words_are_right() -> None:
    score = _score()
    assert score.start_errors == pytest.approx([0.0, 0.02, 0.0, 0.1])
    assert score.start_error_median == pytest.approx(0.01)


def test_scores_are_a_table_and_a_document(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.bin").write_bytes(bytes(1000))
    as_json, as_markdown = write_scores(tmp_path / "figures", [_score()], model=model, seed=7)
    found = json.loads(as_json.read_text(encoding="utf-8"))
    assert (found["model"], found["size_bytes"], found["seed"]) == ("model", 1000, 7)
    [row] = found["scores"]
    assert (row["language"], row["sentences"], row["word_error_rate"]) == ("ru", 2, 0.125)
    assert as_markdown.read_text(encoding="utf-8").splitlines() == table([_score()]).splitlines()
    assert "| ru | 2 sentences | 12.5% | 50% | 50% |" in as_markdown.read_text(encoding="utf-8")


def test_a_model_that_hears_nothing_has_no_word_times() -> None:
    score = Score("ru", Kind.SHUFFLED)
    score.add(_SPOKEN, _heard("", ()), "ru")
    assert score.word_error_rate == 1.0
    assert "not measurable" in table([score])
