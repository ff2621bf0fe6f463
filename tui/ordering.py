"""Orders from the command line: each is one action of the gateway, answered with a sentence."""

import sys
from collections.abc import Sequence

from tui.connection import Connection
from tui.desk import Desk, open_desk
from tui.errors import ConsoleError, Refused
from tui.listing import plain_output
from tui.orders import DEAD, Order, job_order

_MOST_JOBS = 1000


async def run_order(connection: Connection, order: Order) -> None:
    """Carry out an order and write what came of it.

    Raises:
        ConsoleError: it was not carried out.
    """
    async with open_desk(connection, ascii_only=plain_output()) as desk:
        print(await desk.run(order))


async def run_on_dead_letters(
    connection: Connection, action: str, queue: str, job_ids: Sequence[str], *, reason: str
) -> None:
    """Requeue or drop dead letters: those that are named, or every one that is in the queue now.

    Each goes with the state that was seen, so that a job which somebody else has mended meanwhile is left alone.

    Args:
        connection: which gateway.
        action: "job.requeue" or "job.drop".
        queue: name of the queue.
        job_ids: which; all dead letters if empty.
        reason: for the audit trail.

    Raises:
        ConsoleError: the first that was not carried out; the others were tried.
    """
    async with open_desk(connection, ascii_only=plain_output()) as desk:
        chosen = list(job_ids) or [job.job_id for job in await desk.jobs(queue, DEAD, limit=_MOST_JOBS)]
        if not chosen:
            print(f"{desk.clean(queue)} has no dead letters.")
            return
        failures = [failure for job in chosen if (failure := await _try(desk, job_order(action, queue, job, reason)))]
    if failures:
        raise failures[0] if len(chosen) == 1 else Refused(f"{len(failures)} of {len(chosen)} were not carried out.")


async def _try(desk: Desk, order: Order) -> ConsoleError | None:
    try:
        print(await desk.run(order))
    except ConsoleError as failure:
        if failure.exit_code != Refused.exit_code:  # the gateway is away, or does not want us: so it is with the rest
            raise
        print(f"agent-console: {failure}", file=sys.stderr)
        return failure
    return None
