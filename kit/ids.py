"""Identifiers: UUIDv7, so that later ids sort after earlier ones."""

import uuid_utils


def new_id() -> str:
    """Return a new UUIDv7 in its 36-character form."""
    return str(uuid_utils.uuid7())
