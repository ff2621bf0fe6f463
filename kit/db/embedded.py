"""A PostgreSQL server of our own: a child of this process, started from wheel binaries, gone when we are gone."""

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg

from kit.db.account import account_for
from kit.db.binaries import find_binaries
from kit.db.cluster import SUPERUSER, Cluster, locate_home, place_home, server_environment
from kit.lifecycle import StartError
from kit.telemetry import logs

SYSTEM_HOME = Path("/var/lib/interview-agent")
START_SECONDS = 120.0  # recovery after a crash replays at most a gigabyte
STOP_SECONDS = 30.0
_LOG_BYTES = 10_000_000
_PR_SET_PDEATHSIG = 1
_PORT_ATTEMPTS = 5
_libc = ctypes.CDLL(None, use_errno=True)

log = logs.get()


@contextmanager
def open_embedded(
    root: Path, *, settings: Mapping[str, str] | None = None, system_home: Path = SYSTEM_HOME
) -> Iterator["EmbeddedPostgres"]:
    """Run a PostgreSQL server over the cluster in `root/postgresql` for the block; made there at the first start.

    The server ends with this process, however that ends: the kernel sends it a fast shutdown when the thread that
    started it is gone, which is why this belongs in the main thread. It does not run as root: then it runs as the
    cluster's owner, for a new one as the system user `interview-agent`, made when missing. If that user cannot reach
    `root`, the cluster lies in a directory of its own in `system_home` and `root/postgresql` is a link to it;
    likewise the binaries are copied there if need be. Nobody's directories are opened for that.

    Args:
        root: data directory of the node (AGENT_DATA_DIR).
        settings: PostgreSQL settings over ours.
        system_home: where clusters and binaries go that the server's user could not reach otherwise.

    Raises:
        StartError: there are no binaries, another process owns the cluster, or the server does not come up; the
            message ends with the last lines of its log.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("open_embedded belongs in the main thread: the server ends with the thread that starts it")
    with ExitStack() as stack:
        try:
            server = _prepare(root, settings or {}, system_home, stack)
        except OSError as error:
            raise StartError(f"PostgreSQL cannot keep its files in {root}: {error}") from error
        stack.callback(server.stop)
        server.start()
        yield server


class EmbeddedPostgres:
    """The server.

    Attributes:
        port: TCP port on 127.0.0.1, the same for the object's whole life.
        socket_directory: where its Unix socket is; only the server's user may enter.
        data: PGDATA.
        log: file with what the server has to say.
    """

    def __init__(self, cluster: Cluster, binaries: Path, password: str, settings: Mapping[str, str]) -> None:
        self.data = cluster.data
        self.log = cluster.log
        self.port = 0
        self.socket_directory = cluster.home / "run"
        self._cluster = cluster
        self._binaries = binaries
        self._password = password
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address for SQLAlchemy, password included."""
        return f"postgresql+psycopg://{SUPERUSER}:{self._password}@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int | None:
        """Process identifier, None when it does not run."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> None:
        """Start the server unless it runs, also after somebody killed it; returns when it accepts connections.

        Raises:
            StartError: it ended at once or did not accept connections in time.
        """
        if self.pid is not None:
            return
        began = time.monotonic()
        fixed_port = self.port
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._cluster.end_leftovers()
            self.port = fixed_port or _free_port()
            position = self._spawn()
            problem = self._wait_until_ready(began + START_SECONDS)
            if not problem:
                log.info("postgres_started", port=self.port, pid=self.pid, seconds=round(time.monotonic() - began, 2))
                return
            self.stop()
            said = self._said_since(position)
            # Between finding a free port and binding it somebody may have taken it.
            if "could not create any TCP/IP sockets" not in said or attempt == _PORT_ATTEMPTS:
                raise StartError(f"PostgreSQL {problem}; the end of {self.log}:\n{said[-2000:].strip()}")

    def stop(self) -> None:
        """Shut the server down, rolling open transactions back; cut short after 30 s, which costs a recovery."""
        process, self._process = self._process, None
        if process is not None:
            for number, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                with suppress(ProcessLookupError):
                    process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                    break
        self._cluster.remove_socket_directory()

    def _spawn(self) -> int:
        """Start the process; returns where its words begin in the log."""
        self.socket_directory = self._cluster.socket_directory()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_directory),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "fsync": "on",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "logging_collector": "off",
            "log_error_verbosity": "terse",  # the details of an error quote rows, and rows hold what people said
            **self._settings,
        }
        arguments = [str(self._binaries / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        parent = os.getpid()
        try:
            position = os.fstat(descriptor).st_size
            self._process = subprocess.Popen(
                arguments,
                cwd="/",
                env=server_environment(),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,  # Ctrl-C is for us; the rooms' last words still have to be written
                preexec_fn=lambda: _end_with(parent),  # after the change of user, which would undo it
                **self._cluster.account.identity,
            )
        finally:
            os.close(descriptor)
        return position

    def _wait_until_ready(self, deadline: float) -> str:
        """Wait for the first connection; returns what went wrong, empty if nothing."""
        process = self._process
        assert process is not None
        pause = 0.02
        while True:
            try:
                psycopg.connect(
                    host="127.0.0.1", port=self.port, user=SUPERUSER, password=self._password, dbname="postgres",
                    connect_timeout=2,
                ).close()  # fmt: skip
            except psycopg.OperationalError:
                if (status := process.poll()) is not None:
                    return f"ended with status {status}"
                if time.monotonic() > deadline:
                    return f"did not accept connections within {START_SECONDS:g} s"
            else:
                return ""
            time.sleep(pause)
            pause = min(2 * pause, 0.25)

    def _said_since(self, position: int) -> str:
        with self.log.open("rb") as file:
            file.seek(position)
            return file.read().decode(errors="replace")


def _prepare(root: Path, settings: Mapping[str, str], system_home: Path, stack: ExitStack) -> EmbeddedPostgres:
    root = root.absolute()
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    account = account_for(locate_home(root) / "data")
    cluster = Cluster(place_home(root, account, system_home), account)
    stack.enter_context(cluster.owned())
    binaries = find_binaries(account, system_home)
    password = cluster.password()
    cluster.initialise(binaries, password)
    return EmbeddedPostgres(cluster, binaries, password, settings)


def _end_with(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:  # it ended before the kernel knew of our wish
        os._exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
