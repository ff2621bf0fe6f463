"""Page tokens: where the next page begins, opaque to callers and only good for the question that they were made for."""

import base64
import binascii

from kit.errors import InvalidArgument

_VERSION = "1"


class PageTokenInvalid(InvalidArgument):
    """The page token is not from an answer to this question."""

    reason = "ERROR_REASON_INVALID_PAGE_TOKEN"

    def __init__(self) -> None:
        super().__init__(field="page_token")


def page_size(asked: int, *, usual: int = 50, most: int = 500) -> int:
    """Return the number of rows on a page.

    Raises:
        InvalidArgument: a negative number was asked for.
    """
    if asked < 0:
        raise InvalidArgument("must not be negative", field="page_size")
    return min(asked or usual, most)


def write_token(question: str, position: str) -> str:
    """Return the token of the page after `position` of the answer to `question`."""
    return base64.urlsafe_b64encode(f"{_VERSION}|{position}|{question}".encode()).decode()


def read_token(token: str, question: str) -> str:
    """Return the position that a token stands for.

    Raises:
        PageTokenInvalid: it is no token, or that of another question.
    """
    try:
        version, position, asked = base64.b64decode(token.encode(), b"-_", validate=True).decode().split("|", 2)
    except (ValueError, binascii.Error):
        raise PageTokenInvalid from None
    if version != _VERSION or asked != question:
        raise PageTokenInvalid
    return position
