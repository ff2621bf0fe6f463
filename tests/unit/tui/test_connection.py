"""Where the console connects, and with which key."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tui.connection import Connection, find_connection


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GATEWAY_TARGET", "SERVICE_API_KEYS", "SERVICE_API_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_DATA_DIR", str(tmp_path))


def running_mesh(directory: Path, pid: int) -> None:
    book = {"pid": pid, "url": "http://127.0.0.1:1", "gateway": "127.0.0.1:7", "service_key": "s", "user_key": "u"}
    (directory / "mesh.json").write_text(json.dumps(book))


def test_nothing_given_means_the_default_address() -> None:
    connection = find_connection()
    assert (connection.target, connection.key) == ("127.0.0.1:8011", None)


def test_the_mesh_of_this_machine_is_found_with_its_key(tmp_path: Path) -> None:
    running_mesh(tmp_path, os.getpid())
    assert find_connection() == Connection("127.0.0.1:7", "s", str(tmp_path / "mesh.json"))


def test_the_book_of_a_mesh_that_was_killed_is_not_followed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(30)
    running_mesh(tmp_path, ended.pid)
    assert find_connection().target == "127.0.0.1:8011"


@pytest.mark.parametrize("book", ["", "[]", "{}", '{"pid": null}', '{"pid": 1}'])
def test_a_damaged_book_is_not_followed(tmp_path: Path, book: str) -> None:
    (tmp_path / "mesh.json").write_text(book)
    assert find_connection().target == "127.0.0.1:8011"


def test_the_key_of_this_machine_goes_to_no_other_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running_mesh(tmp_path, os.getpid())
    assert find_connection(target="elsewhere:1").key is None
    monkeypatch.setenv("GATEWAY_TARGET", "configured:1")
    assert find_connection() == Connection("configured:1", None, "")


def test_given_keys_win_over_configured_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_KEYS", "first,second")
    assert find_connection(target="t:1") == Connection("t:1", "first", "SERVICE_API_KEYS")
    assert find_connection(target="t:1", key="k") == Connection("t:1", "k", "--key")
    (tmp_path / "key").write_text("from-file\n")
    found = find_connection(target="t:1", key_file=tmp_path / "key")
    assert (found.key, found.key_origin) == ("from-file", f"--key-file {tmp_path / 'key'}")


def test_keys_are_not_in_its_text() -> None:
    assert "secret" not in repr(Connection("t:1", "secret", "--key"))
