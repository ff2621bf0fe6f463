"""What `agent doctor` tells people to do, word for word."""

import pytest

from mesh import doctor


def test_an_extra_is_named_as_pip_wants_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    advice = doctor.Finding("stt", "missing", "pip install 'interview-analytics-agent[stt]'")
    monkeypatch.setattr(doctor, "_findings", lambda: iter([advice]))
    assert doctor.run_doctor() == 1
    assert "interview-analytics-agent[stt]'" in capsys.readouterr().out
