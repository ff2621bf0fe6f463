"""The committed tracks are what the scripts say, and a machine without espeak-ng is told what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from examples.interview.espeak import SynthesiserMissing, load_synthesiser
from examples.interview.interview import HERE, LANGUAGES, load


def test_a_missing_synthesiser_says_what_to_install() -> None:
    with pytest.raises(SynthesiserMissing, match="apt-get install espeak-ng"):
        load_synthesiser(("no-such-library.so",))


@pytest.mark.system
def test_the_scripts_give_the_committed_files_again(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.interview.synthesise", "--output", str(tmp_path)]
    subprocess.run(command, cwd=HERE.parents[1], check=True, timeout=60)
    for language in LANGUAGES:
        committed, made = load(language), load(language, tmp_path)
        if made.reference.synthesiser != committed.reference.synthesiser:
            pytest.skip(f"made with {committed.reference.synthesiser}, here is {made.reference.synthesiser}")
        for path in (tmp_path / language).iterdir():
            assert path.read_bytes() == (HERE / language / path.name).read_bytes(), path.name
