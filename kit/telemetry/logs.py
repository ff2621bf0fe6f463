"""Log lines: one JSON object each (or coloured text), with the trace and the meeting they belong to."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from kit.telemetry import log_tail, trace_context
from kit.telemetry.masking import Masking

# httpx2 would write whole addresses, and websockets whole messages, secrets in them too.
_QUIET = (
    "grpc",
    "asyncio",
    "aiortc",
    "aioice",
    "httpx",
    "httpx2",
    "httpcore2",
    "urllib3",
    "opentelemetry",
    "websockets",
)


def get() -> FilteringBoundLogger:
    """Return the logger: `log.info("stream_opened", session_id=...)`; the message is constant, values are fields."""
    return cast("FilteringBoundLogger", structlog.get_logger())


@contextmanager
def bind(**fields: str) -> Iterator[None]:
    """Add fields such as `meeting_id` to every line that the block, and tasks started in it, write."""
    with bound_contextvars(**fields):
        yield


def configure(
    room: str,
    level: str = "info",
    format: str = "json",  # noqa: A002
    *,
    stream: TextIO | None = None,
    masking: Masking | None = None,
) -> None:
    """Send this process's log lines, ours and libraries', to `stream` (standard output).

    Args:
        room: name of the room, a field of every line.
        level: "debug", "info", "warning" or "error".
        format: "json" or "console".
        stream: where lines go.
        masking: makes personal data in them unreadable; None leaves lines as they are.
    """
    output = stream or sys.stdout
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        merge_contextvars,
        _Room(room),
        _trace_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    log_tail.PROCESS.room = room
    render: list[Processor] = [
        structlog.processors.format_exc_info,
        *([masking] if masking else []),
        log_tail.PROCESS,  # operators see a line as it is rendered; what changes one stands before
        # The plain formatter, as the pretty one would show the values of local variables.
        structlog.dev.ConsoleRenderer(colors=output.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if format == "console"
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        ProcessorFormatter(
            processors=[ProcessorFormatter.remove_processors_meta, *render],
            foreign_pre_chain=[*shared, _logger_name],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old.formatter, ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


class _Room:
    """Adds the room's name."""

    def __init__(self, room: str) -> None:
        self._room = room

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event.setdefault("room", self._room)
        return event


def _trace_ids(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    position = trace_context.current()
    if position is not None:
        event["trace_id"] = position.trace_id
        event["span_id"] = position.span_id
        if position.parent_span_id:
            event["parent_span_id"] = position.parent_span_id
    return event


def _logger_name(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    record: Any = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event
