"""The training corpus on disk: shards of utterances, and a manifest that says what they are made of.

A shard is made by a process of its own, as what the synthesiser said before colours its noise: the same seed and the
same espeak-ng give the same bytes, whatever the number of processes.
"""

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from examples.interview.espeak import load_synthesiser
from tools.tiny_whisper.errors import CorpusBroken
from tools.tiny_whisper.language import CODES, FOLDER
from tools.tiny_whisper.plan import CorpusPlan
from tools.tiny_whisper.synthesis import FRAMES_PER_SECOND, Kind, Mel, mel_of, speak_some

MANIFEST = "manifest.json"
KINDS = (Kind.SENTENCE, Kind.SHUFFLED, Kind.SENTENCE, Kind.CALLED, Kind.SHUFFLED)
"""What the utterances of a shard are, over and over. Shuffled words keep the model from reciting its sentences."""

_SHARD_UTTERANCES = 250


@dataclass(frozen=True, slots=True)
class Shard:
    """Utterances of one language: `NAME.npy` holds their frames one after the other, `NAME.json` the rest."""

    name: str
    language: str
    utterances: int
    frames: int
    sha256: str
    """Of both files."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What lies in a corpus's folder."""

    plan: CorpusPlan
    synthesiser: str
    """Name and version."""
    languages: dict[str, str]
    """sha256 of each language's words and sentences."""
    shards: tuple[Shard, ...]

    @property
    def hours(self) -> float:
        """Speech in the corpus."""
        return sum(shard.frames for shard in self.shards) / FRAMES_PER_SECOND / 3600


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sentence to learn from."""

    text: str
    word_times: tuple[tuple[float, float], ...]
    """Start and end in seconds, one for each blank-separated word."""
    mel: Mel
    """float16."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """An utterance in `NAME.json`."""

    text: str
    voice: str
    kind: Kind
    first_frame: int
    frames: int
    word_times: tuple[tuple[float, float], ...]


_MANIFEST = TypeAdapter(Manifest)
_ENTRIES = TypeAdapter(tuple[_Entry, ...])


def make_corpus(folder: Path, plan: CorpusPlan, *, processes: int, say: Callable[[str], None]) -> Manifest:
    """Synthesise a corpus, unless the folder holds the very same already.

    Raises:
        SynthesiserMissing: espeak-ng is not installed.
    """
    wanted = Manifest(plan, load_synthesiser().version, _language_digests(), ())
    found = _read_manifest(folder)
    if found is not None and replace(found, shards=()) == wanted:
        say(f"corpus: {folder} holds it already, {found.hours:.2f} h of speech")
        return found
    folder.mkdir(parents=True, exist_ok=True)
    # Without a manifest, a folder that is being filled is no corpus.
    (folder / MANIFEST).unlink(missing_ok=True)
    jobs = list(_jobs(plan))
    shards: list[Shard] = []
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=fresh, max_tasks_per_child=1) as pool:
        for shard in pool.map(partial(_make_shard, folder, plan.seed), *zip(*jobs, strict=True)):
            shards.append(shard)
            say(f"corpus: shard {len(shards)} of {len(jobs)}: {shard.name}, {shard.utterances} utterances")
    manifest = replace(wanted, shards=tuple(shards))
    (folder / MANIFEST).write_bytes(_MANIFEST.dump_json(manifest, indent=1) + b"\n")
    say(f"corpus: {sum(shard.utterances for shard in shards)} utterances, {manifest.hours:.2f} h of speech")
    return manifest


def load_corpus(folder: Path) -> dict[str, list[Utterance]]:
    """Return the utterances of each language; frames stay on disk until they are read.

    Raises:
        CorpusBroken: there is no manifest, or a shard is not what it says.
    """
    corpus: dict[str, list[Utterance]] = {code: [] for code in CODES}
    for shard in read_manifest(folder).shards:
        corpus[shard.language].extend(_read_shard(folder, shard))
    return corpus


def read_manifest(folder: Path) -> Manifest:
    """Read what a corpus is made of.

    Raises:
        CorpusBroken: there is none.
    """
    manifest = _read_manifest(folder)
    if manifest is None:
        raise CorpusBroken(f"{folder} holds no corpus; `python -m tools.tiny_whisper corpus` makes one")
    return manifest


def digest_of(folder: Path) -> str:
    """Return a name for the very bytes of a corpus: the sha256 of its manifest, which holds that of every shard."""
    read_manifest(folder)
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def _jobs(plan: CorpusPlan) -> Iterator[tuple[str, int, int]]:
    """Return language, number and utterances of each shard."""
    for code in CODES:
        for number, first in enumerate(range(0, plan.utterances, _SHARD_UTTERANCES)):
            yield code, number, min(_SHARD_UTTERANCES, plan.utterances - first)


def _make_shard(folder: Path, seed: int, language: str, number: int, utterances: int) -> Shard:
    name = f"{language}-{number:03d}"
    entries, mels, first_frame = [], [], 0
    draw = f"{seed}/{name}"
    for spoken in speak_some(load_synthesiser(), language, KINDS, utterances, seed=draw, held_out=False):
        mel = mel_of(spoken.pcm)
        entries.append(_Entry(spoken.text, spoken.voice, spoken.kind, first_frame, len(mel), spoken.word_times))
        mels.append(mel)
        first_frame += len(mel)
    np.save(folder / f"{name}.npy", np.concatenate(mels))
    (folder / f"{name}.json").write_bytes(_ENTRIES.dump_json(tuple(entries)))
    return Shard(name, language, utterances, first_frame, _digest(folder, name))


def _read_shard(folder: Path, shard: Shard) -> Iterator[Utterance]:
    try:
        if _digest(folder, shard.name) != shard.sha256:
            raise CorpusBroken(f"{folder / shard.name} is not what the manifest says; delete the folder, make it anew")
        frames = np.load(folder / f"{shard.name}.npy", mmap_mode="r")
        entries = _ENTRIES.validate_json((folder / f"{shard.name}.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise CorpusBroken(f"{folder / shard.name}: {error}") from error
    for entry in entries:
        mel = frames[entry.first_frame : entry.first_frame + entry.frames]
        yield Utterance(entry.text, entry.word_times, mel)


def _read_manifest(folder: Path) -> Manifest | None:
    try:
        return _MANIFEST.validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def _digest(folder: Path, name: str) -> str:
    digest = hashlib.sha256()
    for suffix in (".npy", ".json"):
        digest.update((folder / f"{name}{suffix}").read_bytes())
    return digest.hexdigest()


def _language_digests() -> dict[str, str]:
    return {code: hashlib.sha256((FOLDER / f"{code}.toml").read_bytes()).hexdigest() for code in CODES}
