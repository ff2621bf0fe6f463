"""The doctor: what works and what does not, from the key in the environment to the checks of every room."""

from collections.abc import Sequence

from tui.clean import clean
from tui.connection import Connection
from tui.desk import Desk, open_desk
from tui.errors import ConsoleError, Refused
from tui.listing import plain_output


async def run_doctor(connection: Connection) -> None:
    """Write a line per check.

    Raises:
        ConsoleError: the gateway does not answer, or something in the mesh is not as it ought to be.
    """
    target = clean(connection.target)
    _tell(connection.key is not None, "key", connection.key_origin or "none given; set SERVICE_API_KEYS")
    async with open_desk(connection, ascii_only=plain_output()) as desk:
        try:
            caller = await desk.whoami()
        except ConsoleError as problem:
            _tell(False, "gateway", problem.why)
            raise
        _tell(True, "gateway", f"answers at {target}")
        _tell(True, "caller", f"{caller.subject} as {caller.role}, proved by {caller.auth_type}")
        failed = await _rooms(desk) + await _storage(desk) + await _queues(desk)
    if failed:
        raise Refused("1 check failed." if failed == 1 else f"{failed} checks failed.")
    print("all is well")


async def _rooms(desk: Desk) -> int:
    return sum(not _tell(check.ok, f"{check.room} {check.name}", check.message) for check in await desk.checks())


async def _storage(desk: Desk) -> int:
    rows = await desk.storage()
    return sum(
        not _tell(row.ok, f"{row.room} storage", row.error or f"{row.mode} {row.path} {row.latency_ms} ms")
        for row in rows
    )


async def _queues(desk: Desk) -> int:
    dead: Sequence[str] = await desk.queues_with_dead_letters()
    what = f"dead letters in {', '.join(dead)}; see agent-console dlq ls" if dead else "no dead letters"
    return int(not _tell(not dead, "queues", desk.clean(what)))


def _tell(ok: bool, name: str, said: str) -> bool:
    print(f"{'ok  ' if ok else 'FAIL'}  {name:<28}  {said}".rstrip(), flush=True)
    return ok
