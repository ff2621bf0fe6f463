"""Brings the database's tables to this release, whoever comes first."""

from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from kit.db.engine import DatabaseUnavailable
from kit.db.tenancy import EVERYBODY
from kit.db.url import parse_url
from kit.db.wall import SETTING, build_wall, is_walled

_LOCK = 7_310_254_193  # any number, the same in every release
LOCK_SECONDS = 120.0
_EVERYBODY = text(f"SELECT set_config('{SETTING}', '{EVERYBODY}', false)")


async def migrate(url: str, *, scripts: str = "store:migrations") -> None:
    """Upgrade to the newest revision under an advisory lock, so that any number of processes may do it at once.

    A process that dies in the middle leaves nothing behind: the lock and the unfinished revision go with its session.
    Tables that are up to date are seen without the lock, so that one that freezes with it holds up no restart.
    A login that row-level security does not bind gets the role that it puts on for its work (`kit.db.wall`).

    Args:
        url: address of the database; not one of a pooler in transaction mode, which loses session locks.
        scripts: `package:directory` of the revisions.

    Raises:
        StartError: `url` is not the address of a PostgreSQL database, or its login may not make that role.
        DatabaseUnavailable: the server is away, or another process holds the lock for more than 120 s.
    """
    engine = create_async_engine(
        parse_url(url),
        poolclass=NullPool,
        connect_args={"application_name": "agent-migrate", "connect_timeout": 5},
    )
    try:
        async with engine.connect() as connection:
            if await connection.run_sync(_is_newest, scripts) and await is_walled(connection):
                return
            await connection.rollback()
            await connection.execute(text(f"SET lock_timeout = {int(LOCK_SECONDS * 1000)}"))
            await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            await connection.execute(_EVERYBODY)  # what a revision does to rows, it does to everybody's
            await connection.commit()
            await connection.run_sync(_upgrade, scripts)
            await build_wall(connection)
            await connection.commit()  # closing the session gives the lock back
    except OperationalError as error:
        said = str(error.orig).partition("\n")[0]  # names server and user, never the password
        raise DatabaseUnavailable(f"DATABASE_URL: the tables cannot be brought up to date: {said}") from error
    finally:
        await engine.dispose()


def _is_newest(connection: Connection, scripts: str) -> bool:
    newest = ScriptDirectory.from_config(migration_config(scripts, connection)).get_heads()
    return set(MigrationContext.configure(connection).get_current_heads()) == set(newest)


def _upgrade(connection: Connection, scripts: str) -> None:
    command.upgrade(migration_config(scripts, connection), "head")


def migration_config(scripts: str, connection: Connection) -> Config:
    """Return what alembic's commands need to work on `connection`; `env.py` takes it from the attributes."""
    attributes: dict[str, Any] = {"connection": connection}
    config = Config(attributes=attributes)
    config.set_main_option("script_location", scripts)
    config.set_main_option("path_separator", "os")
    return config
