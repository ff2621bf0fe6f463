"""Ports, keys and what stands in the way of a start."""

import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from kit.lifecycle import StartError
from mesh.address_book import read_address_book
from mesh.keys import generated_keys
from mesh.mesh import refuse_what_cannot_start
from mesh.rooms import HOST, ROOMS, on_free_ports, taken_ports


def test_free_ports_are_all_different():
    rooms = on_free_ports(ROOMS)
    ports = [port for room in rooms for port in (room.port, room.metrics_port, room.http_port) if port]
    assert len(ports) == len(set(ports))
    assert taken_ports(rooms) == []


def test_a_taken_port_is_named_with_its_room():
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        stt = replace(on_free_ports(ROOMS)[0], port=port)
        with pytest.raises(StartError, match=rf"ports in use: {port} \(stt\)"):
            refuse_what_cannot_start([stt])


def test_a_missing_extra_is_named_with_what_to_do():
    room = replace(ROOMS[0], needs="no_such_package_anywhere")
    with pytest.raises(StartError, match=r"pip install 'interview-analytics-agent\[stt\]'"):
        refuse_what_cannot_start([room])


def test_generated_keys_are_kept_and_private(tmp_path: Path):
    keys = generated_keys(tmp_path)
    assert generated_keys(tmp_path) == keys
    assert keys.user != keys.service
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_the_address_book_of_a_dead_mesh_is_not_believed(tmp_path: Path):
    (tmp_path / "mesh.json").write_text('{"pid": 99999999, "url": "http://127.0.0.1:1"}')
    assert read_address_book(tmp_path) is None
