"""From sentences to a model that our engine loads, in a few steps; and a training that is broken off ends the same."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from examples.interview.espeak import SynthesiserMissing, load_synthesiser
from services.stt.engines.engine import Mode, Window
from services.stt.engines.faster_whisper import open_whisper
from services.stt.engines.model_files import check_files
from services.stt.settings import SttSettings
from tools.tiny_whisper import commands
from tools.tiny_whisper.synthesis import Kind

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

_SMALL = ("--steps", "3", "--utterances", "8", "--sentences", "2")


@pytest.fixture(scope="module", autouse=True)
def _what_training_needs() -> None:
    pytest.importorskip("torch", reason="torch is not installed; `make tiny-whisper-test` runs this where it is")
    try:
        load_synthesiser()
    except SynthesiserMissing as error:
        pytest.skip(str(error))


async def _hear(directory: Path) -> None:
    settings = SttSettings(provider=("faster_whisper",), model=str(directory), threads=1, offline=True)
    async with open_whisper(check_files(directory), settings, engine="faster_whisper", name="made") as engine:
        assert engine.capabilities.languages == frozenset({"en", "ru"})
        quiet = np.zeros(16_000, np.float32)
        for language in ("en", "ru", None):
            [heard] = engine.decode([Window(quiet, language, Mode.FINAL)])
            assert heard.engine == "faster_whisper"


def test_a_few_steps_make_a_model_that_the_engine_loads(tmp_path: Path) -> None:
    assert commands.main(["make", "--out", str(tmp_path), *_SMALL]) == 0
    asyncio.run(_hear(tmp_path / "model"))
    size = sum(path.stat().st_size for path in (tmp_path / "model").iterdir())
    assert size <= 3_000_000, "the model that ships is to stay below 3 MB"
    assert (tmp_path / "evaluation.md").read_text(encoding="utf-8").count("\n") == 2 + 2 * len(Kind)
    assert (tmp_path / "evaluation.json").is_file()


def test_a_training_that_is_broken_off_ends_in_the_same_weights(tmp_path: Path) -> None:
    import torch

    def weights(folder: Path) -> dict[str, torch.Tensor]:
        state: dict[str, dict[str, torch.Tensor]] = torch.load(folder / "checkpoint.pt", weights_only=True)
        return state["network"]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        assert commands.main(["corpus", "--out", str(folder), "--utterances", "8"]) == 0
    assert commands.main(["train", "--out", str(whole), "--steps", "4"]) == 0
    for stop in (["--until-step", "1"], ["--until-step", "3"], []):
        assert commands.main(["train", "--out", str(broken), "--steps", "4", *stop]) == 0
    one, other = weights(whole), weights(broken)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_plan_does_not_go_on_from_the_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["corpus", "--out", str(tmp_path), "--utterances", "8"]) == 0
    assert commands.main(["train", "--out", str(tmp_path), "--steps", "2"]) == 0
    assert commands.main(["train", "--out", str(tmp_path), "--steps", "3"]) == 1
    assert "--fresh" in capsys.readouterr().err
    assert commands.main(["train", "--out", str(tmp_path), "--steps", "3", "--fresh"]) == 0
