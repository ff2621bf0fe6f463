"""PostgreSQL that is killed and started again over the same files."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from kit.db.embedded import EmbeddedPostgres, open_embedded


class Postgres:
    """The server; made by `open_postgres`."""

    def __init__(self, server: EmbeddedPostgres, starter: ThreadPoolExecutor) -> None:
        self._server = server
        self._starter = starter
        self._busy = asyncio.Lock()

    @property
    def port(self) -> int:
        """Port of the server, always the same."""
        return self._server.port

    @property
    def url(self) -> str:
        """Address for psycopg."""
        return self._server.url.replace("postgresql+psycopg://", "postgresql://")

    def url_through(self, port: int) -> str:
        """Address for a room whose connections go through another port."""
        return self._server.url.replace(f":{self.port}/", f":{port}/")

    async def kill(self) -> None:
        """Kill the postmaster, whose backends then leave their work where it stands; returns when it serves again."""
        async with self._busy:
            pid = self._server.pid
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            await self._run(self._again)

    async def restart(self) -> None:
        """Shut the server down in order and start it."""
        async with self._busy:
            await self._run(self._server.stop)
            await self._run(self._server.start)

    def _again(self) -> None:
        while self._server.pid is not None:  # a killed process is gone a moment later
            time.sleep(0.01)
        self._server.start()

    async def _run(self, work: Callable[[], None]) -> None:
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._starter, work))


@contextmanager
def open_postgres(root: Path) -> Iterator[Postgres]:
    """Run a server over a new cluster below `root` for the block; only its log is left, in `root/logs`."""
    home = root / "postgresql"
    try:
        # The server ends with the thread that started it, so one thread starts it and lives as long as the block.
        with open_embedded(root) as server, ThreadPoolExecutor(1, "chaos-postgres") as starter:
            yield Postgres(server, starter)
    finally:
        place = home.resolve()
        shutil.copy(place / "server.log", root / "logs" / "postgres.log")
        shutil.rmtree(place)
        if home.is_symlink():
            home.unlink()
