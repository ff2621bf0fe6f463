"""The wall between tenants in PostgreSQL: the setting its policies read, and the role for logins they do not bind.

Row-level security binds a table's owner (FORCE), but never a superuser, nor a role with BYPASSRLS. Such a login puts on
a role without powers for every transaction; `kit.db.migrate` makes it.
"""

import functools

import psycopg
from psycopg import sql
from sqlalchemy import AdaptedConnection, Connection, event, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from kit.db import tenancy
from kit.lifecycle import StartError

SETTING = "agent.tenant"
ROLE = "interview_agent_rooms"
"""Of the whole cluster, and the same in all of its databases; nobody logs in as it."""

_UNBOUND = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user"
_NEEDS_ROLE = f"{_UNBOUND} AND to_regproc('agent_tenant') IS NOT NULL"
"""A database without policies, which no room has started on yet, has nothing to be walled."""
_PUT_ON = f"SET ROLE {ROLE}"
# For the transaction only: it is gone with it however it ends, and behind a pooler it cannot reach another client.
_SCOPE = f"SELECT set_config('{SETTING}', {{}}, true)"
_SCOPE_UNBOUND = f"{_SCOPE}, set_config('role', '{ROLE}', true)"
_INFO = "agent.unbound"

_PREPARED = text(
    """
    SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)
        AND NOT EXISTS (
            SELECT FROM pg_class JOIN pg_roles ON rolname = :role
            WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind = 'r'
                AND NOT has_table_privilege(pg_roles.oid, pg_class.oid, 'DELETE')
        )
        AND (SELECT pg_has_role(session_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = :role)
    """
)
# Roles are the cluster's: another database may be brought up to date at this moment.
_MAKE = text(
    f"""
    DO $$ BEGIN
        CREATE ROLE {ROLE} NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END $$
    """
)
_GRANTS = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE, SELECT ON SEQUENCES TO {role}",
)


class WallMissing(Exception):
    """The login is bound by no policy, and the role for it is not there (any more)."""


def keep_wall(engine: AsyncEngine) -> None:
    """Let every transaction of a pool say whose rows it may touch, and put the role on where the login needs one."""
    event.listen(engine.sync_engine, "connect", _connected)
    event.listen(engine.sync_engine, "begin", _begun)


def _connected(connection: psycopg.Connection[tuple[bool]], entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(_NEEDS_ROLE)
        found = cursor.fetchone()
        entry.info[_INFO] = unbound = bool(found and found[0])
        if unbound:
            cursor.execute(_PUT_ON)  # what runs outside of transactions is bound as well
        connection.commit()
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject) as error:
        raise WallMissing(f"the role {ROLE} is not there: the start of any room makes it") from error
    finally:
        cursor.close()


def _begun(connection: Connection) -> None:
    level = connection.get_execution_options().get("isolation_level")
    if level == "AUTOCOMMIT":  # no transaction, no scope
        return
    said = _said(tenancy.current(), unbound=bool(connection.info.get(_INFO)), begun=level is not None)
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, AdaptedConnection)
    try:
        driver.run_async(lambda raw: _begin(raw, said, begun=level is not None))
    except psycopg.Error as error:
        if getattr(driver.driver_connection, "closed", False):
            connection.invalidate(error)
        raise


async def _begin(raw: psycopg.AsyncConnection, said: bytes, *, begun: bool) -> None:
    if not begun and not raw.autocommit:
        await raw.set_autocommit(True)  # or the driver would begin one before ours
    await raw.execute(said, prepare=False)


@functools.lru_cache(maxsize=1024)
def _said(scope: str, *, unbound: bool, begun: bool) -> bytes:
    """Return what begins a transaction and says its scope, in one message: the wall costs no round trip.

    One with an isolation level of its own is `begun` by the driver.
    """
    said = sql.SQL(_SCOPE_UNBOUND if unbound else _SCOPE).format(sql.Literal(scope))
    return (said if begun else sql.SQL("BEGIN; ") + said).as_bytes(None)


async def is_walled(connection: AsyncConnection) -> bool:
    """Return whether the login is bound by the policies, or has its role with all the rights that rooms need."""
    return not await _is_unbound(connection) or bool(await connection.scalar(_PREPARED, {"role": ROLE}))


async def build_wall(connection: AsyncConnection) -> None:
    """Make the role for a login that the policies do not bind, with rights on every table of the schema.

    Raises:
        StartError: the login may not.
    """
    if not await _is_unbound(connection):
        return
    try:
        async with connection.begin_nested():
            await _make_role(connection)
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        raise StartError(
            "DATABASE_URL: this login skips row-level security (BYPASSRLS) and may not put a role on that does not: "
            f"take BYPASSRLS from it, or as a superuser CREATE ROLE {ROLE} and GRANT {ROLE} to the login"
        ) from error


async def _make_role(connection: AsyncConnection) -> None:
    quote = connection.dialect.identifier_preparer.quote
    schema = quote(await connection.scalar(text("SELECT current_schema()")) or "public")
    if not await connection.scalar(text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)"), {"role": ROLE}):
        await connection.execute(_MAKE)
    if not await connection.scalar(text("SELECT pg_has_role(session_user, :role, 'MEMBER')"), {"role": ROLE}):
        login = quote(await connection.scalar(text("SELECT session_user")) or "")
        await connection.execute(text(f"GRANT {ROLE} TO {login}"))
    for grant in _GRANTS:
        await connection.execute(text(grant.format(schema=schema, role=ROLE)))


async def _is_unbound(connection: AsyncConnection) -> bool:
    return bool(await connection.scalar(text(_UNBOUND)))
