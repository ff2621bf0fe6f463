"""A PostgreSQL server for a bench: the product's own, synced as in production, on the disk of `build/`."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.db.embedded import open_embedded
from kit.db.migrate import migrate


@contextmanager
def serving_postgres() -> Iterator[str]:
    """Give the block the address of a database with every table; belongs in the main thread."""
    root = Path(tempfile.mkdtemp(prefix="agent-bench-pg-"))
    root.chmod(0o711)  # when we are root, the server's user passes through here
    try:
        with open_embedded(root) as server:
            asyncio.run(migrate(server.url))
            yield server.url
    finally:
        shutil.rmtree(root, ignore_errors=True)
