"""How the console finds out that a gateway talks TLS."""

import json
import os
from pathlib import Path

import pytest

from kit.settings import SettingsError
from tests.certificates import Authority
from tui.connection import find_connection


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GATEWAY_TARGET", "SERVICE_API_KEYS", "GRPC_TLS_CA_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AGENT_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def write_book(data: Path, **more: str) -> None:
    book = {"pid": os.getpid(), "gateway": "127.0.0.1:7", "service_key": "s", **more}
    (data / "mesh.json").write_text(json.dumps(book))


def test_the_mesh_of_this_machine_says_so_itself(tmp_path: Path):
    write_book(tmp_path)
    assert not find_connection().tls.on
    assert find_connection(ca_file=tmp_path / "ca.pem").tls.on, "who asks for TLS gets no plain connection"
    write_book(tmp_path, grpc_tls_ca_file="/ca.pem", grpc_tls_server_name="agent-mesh")
    tls = find_connection().tls
    assert (tls.on, tls.ca_file, tls.server_name) == (True, Path("/ca.pem"), "agent-mesh")


def test_elsewhere_the_settings_or_the_option_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    authority = Authority(tmp_path)
    assert not find_connection(target="t:1").tls.on
    assert find_connection(target="t:1", ca_file=authority.file).tls.ca_file == authority.file
    with pytest.raises(SettingsError, match="GRPC_TLS_CA_FILE: cannot read"):
        find_connection(target="t:1", ca_file=tmp_path / "none.pem")
    monkeypatch.setenv("GRPC_TLS_CA_FILE", str(authority.file))
    assert find_connection(target="t:1").tls.ca_file == authority.file
