"""Database addresses: one driver, whatever name the operator's address gives it."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from kit.lifecycle import StartError

_SCHEMES = ("postgres", "postgresql")


def parse_url(url: str) -> URL:
    """Read `postgresql://` or `postgres://`, with or without a driver, as an address for psycopg.

    Raises:
        StartError: it is not the address of a PostgreSQL database; the message leaves the address out, which may
            hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StartError("DATABASE_URL is not an address of the form postgresql://user:password@host/name") from None
    if parsed.drivername.partition("+")[0] not in _SCHEMES:
        raise StartError(
            f"DATABASE_URL is of a {parsed.drivername} database; this program works with postgresql:// only"
        )
    return parsed.set(drivername="postgresql+psycopg")
