"""What operators read of an error."""

from kit.errors import Unavailable
from kit.queue.errors import GiveUp, describe


def test_our_own_errors_keep_their_text() -> None:
    assert describe(GiveUp("the meeting is gone")) == "GiveUp: the meeting is gone"
    assert describe(Unavailable("no answer")) == "Unavailable: no answer"


def test_other_errors_say_where_and_never_what_as_they_may_quote_speech() -> None:
    try:
        raise ValueError("she said: my salary is 100")
    except ValueError as error:
        described = describe(error)
    assert described.startswith("ValueError in ")
    assert "salary" not in described
