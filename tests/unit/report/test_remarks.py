"""Decisions and risks count only when they were put into words."""

import pytest

from services.report.analysis.remarks import decisions, risks
from services.report.analysis.sentences import sentences
from tests.unit.report.interview import segments


@pytest.mark.parametrize(
    ("text", "decided"),
    [
        ("We decided to postpone the release.", True),
        ("Let's go with postgres.", True),
        ("Okay, agreed.", True),
        ("Мы решили перенести релиз.", True),
        ("Договорились, что релиз в марте.", True),
        ("We have not decided.", False),
        ("Have we decided?", False),
        ("Maybe we agreed on it.", False),
        ("Мы пока не решили.", False),
        ("The release is good.", False),
    ],
)
def test_a_decision(text: str, decided: bool) -> None:
    assert [claim.text for claim in decisions(sentences(segments([("Ann", text)]), "en"))] == [text] * decided


@pytest.mark.parametrize(
    ("text", "risky"),
    [
        ("The risk is the database.", True),
        ("We might not finish the release.", True),
        ("Мы не успеем закончить тест.", True),
        ("What is the risk?", False),
        ("The database is new.", False),
    ],
)
def test_a_risk(text: str, risky: bool) -> None:
    assert [claim.text for claim in risks(sentences(segments([("Ann", text)]), "en"))] == [text] * risky
