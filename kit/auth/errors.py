"""What keeps a caller from being known, beyond wrong credentials."""

from kit.errors import Unavailable


class KeysUnreachable(Unavailable):
    """The identity provider's keys cannot be read now; retry later."""

    retry_after_seconds = 5.0
