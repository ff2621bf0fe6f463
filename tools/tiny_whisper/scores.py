"""Scores as people and programs read them: a table in Markdown, a document in JSON."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.tiny_whisper.evaluation import Score

_HEAD = ("Language", "Said", "Word errors", "Exact text", "Language detected", "Start of a word off by")


def table(scores: Sequence[Score]) -> str:
    """Return a Markdown table, a row for each score."""
    rows = [_HEAD, ("---",) * len(_HEAD), *map(_row, scores)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def document(scores: Sequence[Score], *, model: str, seed: int, size_bytes: int) -> dict[str, Any]:
    """Return what `evaluation.json` holds; shares in [0, 1], null for what could not be measured."""
    return {
        "model": model,
        "size_bytes": size_bytes,
        "seed": seed,
        "scores": [
            {
                "language": score.language,
                "said": score.kind.value,
                "sentences": score.sentences,
                "word_error_rate": round(score.word_error_rate, 4),
                "exact_share": round(score.exact_share, 4),
                "detected_share": round(score.detected_share, 4),
                "start_error_median_seconds": _rounded(score.start_error_median),
                "start_error_p90_seconds": _rounded(score.start_error_p90),
            }
            for score in scores
        ],
    }


def write_scores(folder: Path, scores: Sequence[Score], *, model: Path, seed: int) -> tuple[Path, Path]:
    """Write `evaluation.json` and `evaluation.md`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    size_bytes = sum(path.stat().st_size for path in model.iterdir() if path.suffix in {".bin", ".json"})
    found = document(scores, model=model.name, seed=seed, size_bytes=size_bytes)
    as_json, as_markdown = folder / "evaluation.json", folder / "evaluation.md"
    as_json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    as_markdown.write_text(table(scores) + "\n", encoding="utf-8")
    return as_json, as_markdown


def _row(score: Score) -> tuple[str, ...]:
    return (
        score.language,
        f"{score.sentences} {score.kind.value}",
        f"{score.word_error_rate:.1%}",
        f"{score.exact_share:.0%}",
        f"{score.detected_share:.0%}",
        _seconds(score),
    )


def _seconds(score: Score) -> str:
    if math.isnan(score.start_error_median):
        return "not measurable"
    return f"{score.start_error_median:.2f} s (median), {score.start_error_p90:.2f} s (90 %)"


def _rounded(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(seconds, 3)
