"""Page tokens and sizes."""

import pytest

from kit.errors import InvalidArgument
from kit.rpc.pages import PageTokenInvalid, page_size, read_token, write_token


def test_a_token_leads_back_to_its_position() -> None:
    assert read_token(write_token("report/dead", "42"), "report/dead") == "42"
    assert read_token(write_token("a|b", "42"), "a|b") == "42"


@pytest.mark.parametrize("token", ["", "%%%", "bm90aGluZw==", "Mnw0MnxxdWVzdGlvbg==", "ÿ"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(PageTokenInvalid):
        read_token(token, "question")


def test_a_token_of_another_question_is_refused() -> None:
    with pytest.raises(PageTokenInvalid):
        read_token(write_token("report/dead", "42"), "report/")


def test_a_page_has_the_usual_size_and_never_more_than_the_most() -> None:
    assert [page_size(asked) for asked in (0, 7, 500, 501)] == [50, 7, 500, 500]
    with pytest.raises(InvalidArgument):
        page_size(-1)
