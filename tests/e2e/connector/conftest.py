"""A database of its own for each test."""

from tests.postgres import database_url

__all__ = ["database_url"]
