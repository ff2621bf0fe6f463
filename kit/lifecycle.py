"""A process's life: start, work until SIGTERM or SIGINT, stop in order, say clearly why a start failed."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from kit.errors import Unavailable
from kit.rpc import event_engine
from kit.settings import AuthSettings, CoreSettings, SettingsError, load
from kit.telemetry import logs
from kit.telemetry.masking import Masking

_STOP_SECONDS = 60.0

log = logs.get()


class StartError(Exception):
    """The process cannot start or go on; the message is one sentence for the person who started it."""


@contextmanager
def blaming(variable: str) -> Iterator[None]:
    """Put the variable that is to be changed before what stopped the block: `INGEST_LISTEN: cannot listen on ...`."""
    try:
        yield
    except StartError as error:
        raise StartError(f"{variable}: {error}") from error


class Shutdown:
    """The wish to stop, and how far it has come.

    `requested` is set by the first signal. `draining` is set when the server takes no new calls: servicers then tell
    every open stream to reconnect elsewhere.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.draining = asyncio.Event()


def run(room: str, main: Callable[[Shutdown], Awaitable[None]], *, stop_seconds: float = _STOP_SECONDS) -> int:
    """Run `main` on a fast event loop until it returns.

    Args:
        room: name for messages and log lines.
        main: the room; it is expected to return soon after `shutdown.requested` is set.
        stop_seconds: time it gets for that before the process is ended; keep it above GRPC_GRACE_SECONDS.

    Returns:
        The exit code: 0 after an orderly end, 1 otherwise.
    """
    _configure_logs(room)
    if not event_engine.apply():
        log.warning("event_engine_undecided", reason="gRPC was imported before kit")
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_supervise(room, main, stop_seconds))
    except BaseException as error:
        return _explain(room, error)
    return 0


def leave(code: int) -> NoReturn:
    """End the process with `run`'s exit code, at once.

    All that had to be closed is closed by then; gRPC's threads would only stumble over the interpreter's own end and
    write about it below the sentence that says why a room did not start.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _supervise(room: str, main: Callable[[Shutdown], Awaitable[None]], stop_seconds: float) -> None:
    shutdown = Shutdown()
    loop = asyncio.get_running_loop()

    def stop(received: signal.Signals) -> None:
        if shutdown.requested.is_set():
            _exit_now(f"{room}: {received.name} again: not waiting any longer", 128 + received)
        log.info("shutdown_requested", signal=received.name)
        shutdown.requested.set()
        loop.call_later(
            stop_seconds, _exit_now, f"{room}: did not stop within {stop_seconds:g} s of {received.name}", 1
        )

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    await main(shutdown)
    log.info("stopped")


def _exit_now(sentence: str, code: int) -> None:
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()
    os._exit(code)


def _configure_logs(room: str) -> None:
    try:
        (core,) = load(CoreSettings)
    except SettingsError:
        logs.configure(room)  # `main` reads the same section and reports its problems with all others
    else:
        logs.configure(room, core.log_level, core.log_format, masking=_masking(core))


def _masking(core: CoreSettings) -> Masking | None:
    """Return what masks personal data, with a key that all rooms have if they have any."""
    if not core.pii_masking_enabled:
        return None
    try:
        (auth,) = load(AuthSettings)
    except SettingsError:
        return Masking()  # `main` reports it
    shared = auth.shared_by_rooms
    return Masking(shared[0].get_secret_value() if shared else "")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _explain(room: str, error: BaseException) -> int:
    leaves = list(_leaves(error))
    sentences: list[str] = []
    for leaf in leaves:
        if isinstance(leaf, SettingsError):
            sentences += [f"{room}: {problem}" for problem in leaf.problems]
        elif isinstance(leaf, StartError | Unavailable):
            sentences.append(f"{room}: {leaf}")
    if sentences:
        sys.stderr.write("\n".join(sentences) + "\n")
    if not all(isinstance(leaf, SettingsError | StartError | Unavailable) for leaf in leaves):
        log.critical("crashed", exc_info=error)
    return 1


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
