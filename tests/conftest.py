"""What all tests share."""

import logging
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

import kit  # noqa: F401 - before gRPC, so that tests run on the event engine that the product runs on

settings.register_profile("untimed", deadline=None)  # what else the machine does decides how long an example takes
settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts in the background deaf to Ctrl-C, and so would be every program that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """A program that a test runs in this process sets its logs up; the next test finds them as they were."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.configure(**before)
    root.setLevel(level)
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
