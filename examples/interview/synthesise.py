"""Make the sample call anew from its scripts: `python -m examples.interview.synthesise [en|ru ...]`.

The same scripts and the same espeak-ng give the same bytes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from examples.interview.espeak import SynthesiserMissing, UnknownVoice, load_synthesiser
from examples.interview.interview import HERE, LANGUAGES, save
from examples.interview.script import ScriptError, load_script
from examples.interview.timeline import perform

SCRIPT_FILE = "script.toml"


def make(language: str, output: Path) -> str:
    """Write one interview's files into `<output>/<language>/`; return a line about it.

    Raises:
        SynthesiserMissing, UnknownVoice, ScriptError: nothing was written.
    """
    interview = perform(load_script(HERE / language / SCRIPT_FILE), load_synthesiser())
    save(interview, output / language)
    return f"{language}: {interview.duration_seconds:.0f} s, {len(interview.utterances())} utterances"


def main(arguments: list[str] | None = None) -> int:
    """Write tracks and references; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="synthesise", description="Speak the scripts of the sample interviews.")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(LANGUAGES)}; all by default")
    parser.add_argument("--output", type=Path, default=HERE, help="folder to write <language>/ into")
    options = parser.parse_args(arguments)
    languages: list[str] = options.languages or list(LANGUAGES)
    # A process each: what the synthesiser said before colours its noise, and the other language must not.
    fresh = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(len(languages), mp_context=fresh, max_tasks_per_child=1) as processes:
            for line in processes.map(make, languages, [options.output] * len(languages)):
                print(line)
    except (SynthesiserMissing, UnknownVoice, ScriptError) as error:
        print(f"synthesise: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
