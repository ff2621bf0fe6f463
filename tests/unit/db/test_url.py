"""Database addresses: what is accepted, and that a refusal quotes no password."""

import pytest

from kit.db.url import parse_url
from kit.lifecycle import StartError


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_every_postgresql_scheme_becomes_the_one_driver(scheme: str) -> None:
    url = parse_url(f"{scheme}://user:p%40ss@db.example:6432/agent?sslmode=require")
    assert url.drivername == "postgresql+psycopg"
    assert (url.host, url.port, url.password, url.query["sslmode"]) == ("db.example", 6432, "p@ss", "require")


@pytest.mark.parametrize(
    "url", ["sqlite:///secret.db", "mysql://user:secret@db/agent", "secret", "postgresql://user:secret@h:x/n"]
)
def test_others_are_refused_without_quoting_them(url: str) -> None:
    with pytest.raises(StartError, match="DATABASE_URL") as refused:
        parse_url(url)
    assert "secret" not in str(refused.value)
