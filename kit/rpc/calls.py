"""Calls to other rooms that must not outlive the block that made them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar


class Cancellable(Protocol):
    """A call in progress."""

    def cancel(self) -> bool:
        """End the call; nothing happens when it has ended."""


C = TypeVar("C", bound=Cancellable)


@contextmanager
def held(call: C) -> Iterator[C]:
    """Hold a call for the block and cancel it at its end: `with held(stub.StreamAudio()) as call:`.

    gRPC does not cancel a call that is merely dropped: it stays open at the other side until the channel closes.
    """
    try:
        yield call
    finally:
        call.cancel()
