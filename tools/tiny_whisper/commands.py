"""The command line: `make` does all; `corpus`, `train`, `export` and `evaluate` do a part each."""

import argparse
import asyncio
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from examples.interview.espeak import SynthesiserMissing
from kit.telemetry import logs
from services.stt.errors import EngineNotReady
from services.stt.models import tiny_whisper_directory
from tools.tiny_whisper import plan
from tools.tiny_whisper.corpus import digest_of, make_corpus
from tools.tiny_whisper.errors import ModelMakingError, PackageMissing
from tools.tiny_whisper.evaluation import SEED, evaluate
from tools.tiny_whisper.scores import table, write_scores

OUT = Path("build/tiny-whisper")

_HELP = """Make the demonstration model: a real Whisper of two megabytes for 101 English and 101 Russian words.

  make       everything below, one after the other; what is done already is not done again
  corpus     synthesise sentences with espeak-ng, with the true time of every word   (4 minutes, 0.4 GB)
  train      teach a network; stops and goes on from its checkpoint                  (an hour of one core)
  export     turn the checkpoint into a directory that faster-whisper opens          (seconds)
  evaluate   measure any model directory on voices that training never heard         (2 minutes)

`corpus` and `evaluate` need espeak-ng (apt-get install espeak-ng libespeak-ng1). `train` and `export` need torch:
`make tiny-whisper` keeps it in an environment of its own, build/tiny-whisper/venv, out of the product's.
"""
_CORPUS = "Synthesise the training corpus into OUT/corpus. The same seed and the same espeak-ng give the same bytes."
_TRAIN = (
    "Train on OUT/corpus, with a checkpoint in OUT/checkpoint.pt every three minutes, going on from it if it is there. "
    "The same plan, torch, processor and number of threads give the same weights, broken off in between or not."
)
_EVALUATE = (
    "Measure a model on voices that training never heard: sentences, words in any order, and sentences through "
    "Opus as a call carries them. Prints a table and writes evaluation.json and evaluation.md into OUT."
)
_SAMPLE = """examples:
  python -m tools.tiny_whisper make                          all, into build/tiny-whisper
  python -m tools.tiny_whisper make --steps 200 --utterances 500   a rough one, in minutes
  python -m tools.tiny_whisper train --until-step 1000       a part now, the rest with the same command later
  python -m tools.tiny_whisper evaluate --model DIR          the figures of any CTranslate2 Whisper
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the process's exit code."""
    options = _parser().parse_args(arguments)
    logs.configure("tiny-whisper", "error")
    try:
        options.run(options)
    except (ModelMakingError, SynthesiserMissing, EngineNotReady) as error:
        print(f"tiny_whisper: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tiny_whisper: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.tiny_whisper",
        description=_HELP,
        epilog=_SAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], description: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        added.add_argument(
            "--out", type=Path, default=OUT, help="folder for corpus/, checkpoint.pt, model/ and figures"
        )
        added.set_defaults(run=run)
        return added

    whole = command("make", _make, "Corpus, training, export and evaluation, one after the other.")
    sound = command("corpus", _corpus, _CORPUS)
    training = command("train", _train, _TRAIN)
    exporting = command("export", _export, "Write OUT/model from OUT/checkpoint.pt.")
    measuring = command("evaluate", _evaluate, _EVALUATE)
    for each in (whole, sound):
        each.add_argument("--utterances", type=_positive, default=plan.UTTERANCES, help="of each language")
        each.add_argument("--corpus-seed", type=int, default=plan.CORPUS_SEED, help="another one gives other sentences")
        each.add_argument("--processes", type=_positive, default=1, help="that synthesise at a time; changes no byte")
    for each in (whole, training):
        each.add_argument("--steps", type=_positive, default=plan.STEPS, help="of training; fewer are worse")
        each.add_argument("--seed", type=int, default=plan.SEED, help="of the first weights and of the windows")
        each.add_argument("--peak-rate", type=float, default=plan.PEAK_RATE, help="highest learning rate")
        each.add_argument("--threads", type=_positive, default=1, help="of torch; another number rounds otherwise")
        each.add_argument("--fresh", action="store_true", help="throw an earlier checkpoint away")
    training.add_argument("--until-step", type=_positive, help="stop here, to go on later")
    for each in (whole, exporting):
        each.add_argument(
            "--quantization", default="int8", choices=("int8", "float16", "float32"), help="of the weights"
        )
    for each in (whole, measuring):
        each.add_argument("--sentences", type=_positive, default=100, help="of each language and kind to evaluate with")
        each.add_argument("--evaluation-seed", type=int, default=SEED, help="figures compare over the same seed only")
    measuring.add_argument("--model", type=Path, help=f"directory; OUT/model by default. Ours: {_shipped()}")
    return parser


def _make(options: argparse.Namespace) -> None:
    _require_torch()
    _corpus(options)
    options.until_step = None
    _train(options)
    _export(options)
    options.model = None
    _evaluate(options)


def _corpus(options: argparse.Namespace) -> None:
    wanted = plan.CorpusPlan(options.corpus_seed, options.utterances)
    make_corpus(options.out / "corpus", wanted, processes=options.processes, say=_say)


def _train(options: argparse.Namespace) -> None:
    _require_torch()
    from tools.tiny_whisper.training import train

    corpus, checkpoint = options.out / "corpus", options.out / "checkpoint.pt"
    wanted = plan.TrainingPlan(digest_of(corpus), options.steps, options.seed, options.peak_rate)
    if options.fresh:
        checkpoint.unlink(missing_ok=True)
    done = train(corpus, checkpoint, wanted, plan.Pace(options.threads, options.until_step), say=_say)
    _say(f"train: {done} of {wanted.steps} steps are in {checkpoint}")


def _export(options: argparse.Namespace) -> None:
    _require_torch()
    from tools.tiny_whisper.export import export

    directory = options.out / "model"
    size = export(options.out / "checkpoint.pt", directory, options.quantization)
    _say(f"export: {directory}, {size / 1e6:.2f} MB")


def _evaluate(options: argparse.Namespace) -> None:
    model = options.model or options.out / "model"
    found = asyncio.run(evaluate(model, sentences=options.sentences, seed=options.evaluation_seed, say=_say))
    written = write_scores(options.out, found, model=model, seed=options.evaluation_seed)
    _say(f"evaluate: {' and '.join(map(str, written))}\n\n{table(found)}")


def _require_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise PackageMissing("this environment has no torch: run `make tiny-whisper`, or pip install -e '.[train]'")


def _shipped() -> str:
    directory = tiny_whisper_directory()
    return str(directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _say(line: str) -> None:
    print(line, flush=True)
