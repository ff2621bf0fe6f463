"""`python -m store.audit [--head HASH]`: check the audit trail of DATABASE_URL, row by row."""

import argparse
import asyncio
import sys

from kit.db.engine import DatabaseUnavailable, open_database
from kit.lifecycle import StartError
from kit.settings import DatabaseSettings, SettingsError, load
from store.audit.table import AuditStore

_WHOLE, _BROKEN, _UNREADABLE = 0, 1, 2


async def verify(url: str, head: str) -> int:
    """Check the trail and say what was found.

    Args:
        url: address of the database.
        head: hash that some row must have, as the log told earlier; empty for none.

    Returns:
        The exit status: 0 if the chain is whole, 1 if not.
    """
    async with open_database(url, room="audit-verify", connections=1) as database:
        trail = AuditStore(database)
        check = await trail.check()
        if check.broken is not None:
            broken = check.broken
            sys.stdout.write(f"broken at row {broken.sequence} ({broken.id}): {broken.reason}\n")
            return _BROKEN
        if head and not await trail.contains(head):
            sys.stdout.write(f"broken at the end: no row has the hash {head}; rows were cut off or replaced\n")
            return _BROKEN
        sys.stdout.write(f"whole: {check.rows} rows, head {check.head or 'none'}\n")
        return _WHOLE


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m store.audit", description=__doc__)
    parser.add_argument("--head", default="", help="a hash that the trail had at its end before, from the log")
    head = parser.parse_args().head
    try:
        (settings,) = load(DatabaseSettings)
        if settings.database_url is None:
            raise SettingsError(["DATABASE_URL: is not set"])
        return asyncio.run(verify(settings.database_url.get_secret_value(), head))
    except (SettingsError, StartError, DatabaseUnavailable) as error:
        sys.stderr.write(f"agent: {error}\n")
        return _UNREADABLE


if __name__ == "__main__":
    sys.exit(main())
