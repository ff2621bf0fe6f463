"""`python -m store.migrations "what changes"`: write a revision that brings the tables to the models, for review."""

import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from kit.db.embedded import open_embedded
from kit.db.migrate import migrate, migration_config
from kit.db.url import parse_url

_SCRIPTS = "store:migrations"


async def write_revision(url: str, message: str) -> None:
    """Compare an empty database, brought to the newest revision, with the models and write down the difference."""
    await migrate(url, scripts=_SCRIPTS)
    number = sum(1 for _ in (Path(__file__).parent / "versions").glob("[0-9]*.py")) + 1

    def write(connection: Connection) -> None:
        config = migration_config(_SCRIPTS, connection)
        command.revision(config, message=message, autogenerate=True, rev_id=f"{number:04}")

    engine = create_async_engine(parse_url(url))
    async with engine.connect() as connection:
        await connection.run_sync(write)
    await engine.dispose()


def main() -> int:
    """Run the command; returns the exit status."""
    if len(sys.argv) != 2:
        sys.stderr.write('usage: python -m store.migrations "what changes"\n')
        return 2
    with tempfile.TemporaryDirectory(prefix="agent-revision-") as directory:
        Path(directory).chmod(0o711)  # root's server runs as somebody else
        with open_embedded(Path(directory), settings={"fsync": "off"}) as postgres:
            asyncio.run(write_revision(postgres.url, sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
