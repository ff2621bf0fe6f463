"""`agent certificates`: what it makes, what it keeps, what it refuses."""

import stat
from pathlib import Path

import pytest
from cryptography import x509

from kit.lifecycle import StartError
from kit.rpc.certificates import read_material
from mesh.certificates import make_certificates, run_certificates, tls_of
from mesh.rooms import ROOMS


def test_each_room_has_a_certificate_that_bears_its_names(tmp_path: Path):
    assert make_certificates(tmp_path, ["agent.example", "10.0.0.7"], 30)
    authority = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    for name in (*(room.name for room in ROOMS), "agent"):
        settings = tls_of(tmp_path, name)
        names = {name, "agent-mesh", "localhost", "127.0.0.1", "::1", "agent.example", "10.0.0.7"}
        assert set(read_material(settings).names) == names
        assert settings.cert_file
        own = x509.load_pem_x509_certificate(settings.cert_file.read_bytes())
        own.verify_directly_issued_by(authority)
        assert 29 <= (own.not_valid_after_utc - own.not_valid_before_utc).days <= 30
    assert {stat.S_IMODE(key.stat().st_mode) for key in tmp_path.rglob("*.key")} == {0o600}
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".new")]


def test_run_again_it_renews_the_certificates_and_keeps_the_authority(tmp_path: Path):
    make_certificates(tmp_path, [], 30)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert not make_certificates(tmp_path, [], 30)
    same = {path.relative_to(tmp_path).as_posix() for path, content in before.items() if path.read_bytes() == content}
    assert same == {"ca.crt", "ca.key", *(f"{name}/ca.crt" for name in (*(room.name for room in ROOMS), "agent"))}


def test_half_an_authority_is_refused_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    make_certificates(tmp_path, [], 30)
    (tmp_path / "ca.key").unlink()
    before = (tmp_path / "stt" / "tls.crt").read_bytes()
    assert run_certificates(tmp_path, [], 30) == 1
    assert "ca.crt is there and ca.key is not" in capsys.readouterr().err
    assert (tmp_path / "stt" / "tls.crt").read_bytes() == before
    other = tmp_path / "other"
    make_certificates(other, [], 30)
    (tmp_path / "ca.key").write_bytes((other / "ca.key").read_bytes())
    with pytest.raises(StartError, match=r"ca\.key is not the key of ca\.crt"):
        make_certificates(tmp_path, [], 30)


def test_names_that_no_certificate_can_bear_and_files_that_are_not_there_are_named(tmp_path: Path):
    with pytest.raises(StartError, match="--host 'имя'"):
        make_certificates(tmp_path, ["имя"], 30)
    with pytest.raises(StartError, match=r"no tls\.crt, tls\.key, ca\.crt in .*; run: agent certificates"):
        tls_of(tmp_path / "nowhere", "stt")
