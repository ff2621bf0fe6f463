"""What `agent doctor` finds and tells people to do, word for word; services and databases are asked on the wire."""

import socket
from pathlib import Path

import pytest

from kit.settings import CoreSettings, DatabaseSettings, StorageSettings
from mesh.doctor.examination import show
from mesh.doctor.finding import Finding
from mesh.doctor.keepers import database_findings, storage_findings
from mesh.doctor.machine import machine_findings, place_findings
from mesh.doctor.rooms import room_findings
from mesh.doctor.speech import model_finding, service_findings, speech_findings
from services.stt.models import tiny_whisper_directory
from services.stt.settings import OpenAiSettings
from tests.fakes.transcription_service import KEY, Reply, running_service


def service(url: str, key: str = KEY) -> OpenAiSettings:
    return OpenAiSettings(openai_base_url=url, openai_api_key=key)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_an_extra_is_named_as_pip_wants_it(capsys: pytest.CaptureFixture[str]):
    assert show([Finding("stt", "missing", "pip install 'interview-analytics-agent[stt]'")]) == 1
    assert "interview-analytics-agent[stt]'" in capsys.readouterr().out


def test_a_service_that_takes_the_key_and_has_the_model_is_well():
    with running_service(Reply()) as running:
        [found] = service_findings(service(running.url), "whisper-1", alone=True)
    assert found == Finding("speech", "ok", f"{running.url} takes the key and has whisper-1")


@pytest.mark.parametrize(("alone", "state"), [(True, "missing"), (False, "note")])
def test_a_key_that_a_service_refuses_is_to_be_checked(alone: bool, state: str):
    with running_service(Reply()) as running:
        [found] = service_findings(service(running.url, "another"), "whisper-1", alone=alone)
    assert (found.state, found.detail) == (state, f"{running.url} refuses the key (HTTP 401): check OPENAI_API_KEY")


def test_a_model_that_a_service_does_not_list_is_named_with_those_it_does():
    with running_service(Reply()) as running:
        running.models = ("large", "small")
        [found] = service_findings(service(running.url), "whisper-1", alone=True)
    assert found.state == "missing"
    assert found.detail.endswith("does not list whisper-1: set STT_OPENAI_MODEL to one of large, small")


def test_a_service_without_a_list_of_models_is_a_note():
    with running_service(Reply()) as running:
        running.models = None
        [found] = service_findings(service(running.url), "whisper-1", alone=True)
    assert found.state == "note"
    assert "does not list its models (HTTP 404)" in found.detail


def test_a_service_that_is_away_is_named_without_its_password():
    port = closed_port()
    [found] = service_findings(service(f"http://me:secret@127.0.0.1:{port}/v1"), "whisper-1", alone=True)
    assert found.state == "missing"
    assert found.detail.startswith(f"http://127.0.0.1:{port}/v1 cannot be reached (")
    assert found.detail.endswith("check OPENAI_BASE_URL, and set CHATGPT_PROXY_URL if this machine needs a proxy")


@pytest.mark.parametrize(
    ("alone", "state", "what"), [(True, "missing", "recognises nothing"), (False, "note", "is left out of the chain")]
)
def test_a_service_without_a_key_is_not_asked(alone: bool, state: str, what: str):
    [found] = service_findings(OpenAiSettings(openai_base_url="http://127.0.0.1:9"), "whisper-1", alone=alone)
    assert (found.state, found.detail) == (state, f"openai_http {what} without OPENAI_API_KEY: set it")


def test_every_engine_of_a_chain_is_looked_at(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STT_PROVIDER", "faster_whisper,openai_http")
    monkeypatch.setenv("STT_MODEL", str(tiny_whisper_directory()))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert [found.state for found in speech_findings()] == ["ok", "note"]


def test_a_model_directory_must_be_whole(tmp_path: Path):
    assert model_finding(str(tiny_whisper_directory()), offline=True).state == "ok"
    (tmp_path / "model.bin").touch()
    found = model_finding(str(tmp_path), offline=False)
    assert found.state == "missing"
    assert "lacks config.json, tokenizer.json, vocabulary.*: " in found.detail


def test_a_model_by_name_is_looked_for_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    assert model_finding("small", offline=False).state == "note"
    assert model_finding("small", offline=True).state == "missing"
    snapshot = tmp_path / "hub" / "models--Systran--faster-whisper-small" / "snapshots" / "one"
    snapshot.mkdir(parents=True)
    (snapshot / "model.bin").touch()
    assert model_finding("small", offline=True).state == "ok"


def test_a_database_that_does_not_answer_is_to_be_checked():
    url = f"postgresql://me:secret@127.0.0.1:{closed_port()}/agent"
    [found] = database_findings(DatabaseSettings(database_url=url))
    assert found.state == "missing"
    assert "refused" in found.detail
    assert "secret" not in found.detail
    assert found.detail.endswith("check the address, the password, and that the server runs")


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    core = CoreSettings(agent_data_dir=file / "data")
    [found] = storage_findings(StorageSettings(), core)
    assert (found.state, found.detail.partition(": ")[0]) == ("missing", str(file / "data" / "blobs"))
    disk, _ = place_findings(core.agent_data_dir)
    assert (disk.state, disk.subject) == ("missing", "disk")
    assert disk.detail.endswith("choose another AGENT_DATA_DIR")


def test_a_rooms_own_settings_are_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STT_BEAM_SIZE", "0")
    monkeypatch.setenv("INGEST_MIN_FREE_MB", "some")
    wrong = {found.subject: found.detail for found in room_findings() if found.state == "missing"}
    assert {subject: detail.partition(":")[0] for subject, detail in wrong.items()} == {
        "stt": "STT_BEAM_SIZE",
        "ingest": "INGEST_MIN_FREE_MB",
    }


def test_the_machine_is_described():
    assert [found.subject for found in machine_findings()] == ["python", "cores", "memory", "clock"]
