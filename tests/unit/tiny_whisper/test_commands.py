"""The command line says what it needs before it begins."""

import importlib.util
from pathlib import Path

import pytest

from tools.tiny_whisper import commands


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        commands.main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("make", "corpus", "train", "export", "evaluate"))


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed here")
@pytest.mark.parametrize("command", ["make", "train", "export"])
def test_without_torch_the_sentence_says_how_to_get_it(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.main([command, "--out", str(tmp_path)]) == 1
    assert "make tiny-whisper" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_model_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["evaluate", "--model", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "lacks model.bin" in capsys.readouterr().err


def test_numbers_below_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands.main(["corpus", "--utterances", "0"])
    assert "must be 1 or more" in capsys.readouterr().err
