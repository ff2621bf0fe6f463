"""The corpus on disk: the same bytes for the same plan, and nothing is trained on what is not whole."""

from pathlib import Path

import pytest

from examples.interview.espeak import SynthesiserMissing, load_synthesiser
from tools.tiny_whisper.corpus import MANIFEST, digest_of, load_corpus, make_corpus, read_manifest
from tools.tiny_whisper.errors import CorpusBroken
from tools.tiny_whisper.plan import CorpusPlan
from tools.tiny_whisper.synthesis import FRAMES_PER_SECOND

_PLAN = CorpusPlan(seed=3, utterances=6)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        load_synthesiser()
    except SynthesiserMissing as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder, _PLAN, processes=1, say=lambda _: None)
    return folder


def test_a_folder_without_a_manifest_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(CorpusBroken, match=r"python -m tools\.tiny_whisper corpus"):
        load_corpus(tmp_path)


@pytest.mark.system
def test_equal_plans_make_equal_bytes_whatever_the_number_of_processes(corpus: Path, tmp_path: Path) -> None:
    make_corpus(tmp_path, _PLAN, processes=2, say=lambda _: None)
    names = sorted(path.name for path in corpus.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        assert (tmp_path / name).read_bytes() == (corpus / name).read_bytes(), name
    assert digest_of(tmp_path) == digest_of(corpus)


@pytest.mark.system
def test_the_manifest_says_what_is_there(corpus: Path) -> None:
    manifest = read_manifest(corpus)
    assert manifest.plan == _PLAN
    assert manifest.synthesiser.startswith("espeak-ng ")
    assert [(shard.name, shard.utterances) for shard in manifest.shards] == [("en-000", 6), ("ru-000", 6)]
    frames = sum(len(one.mel) for utterances in load_corpus(corpus).values() for one in utterances)
    assert manifest.hours == pytest.approx(frames / FRAMES_PER_SECOND / 3600)


@pytest.mark.system
def test_the_times_of_words_go_forward_and_end_with_the_sound(corpus: Path) -> None:
    for utterances in load_corpus(corpus).values():
        for one in utterances:
            edges = [edge for times in one.word_times for edge in times]
            assert edges == sorted(edges)
            assert len(one.word_times) == len(one.text.split())
            assert edges[-1] == pytest.approx(len(one.mel) / FRAMES_PER_SECOND, abs=0.03)


@pytest.mark.system
def test_what_is_there_already_is_not_made_again(corpus: Path) -> None:
    said: list[str] = []
    before = (corpus / MANIFEST).stat().st_mtime_ns
    make_corpus(corpus, _PLAN, processes=1, say=said.append)
    assert (corpus / MANIFEST).stat().st_mtime_ns == before
    assert ["holds it already" in line for line in said] == [True]


@pytest.mark.system
def test_a_shard_with_a_changed_byte_is_refused(corpus: Path, tmp_path: Path) -> None:
    for path in corpus.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = bytearray((tmp_path / "ru-000.npy").read_bytes())
    changed[-1] ^= 1
    (tmp_path / "ru-000.npy").write_bytes(changed)
    with pytest.raises(CorpusBroken, match="ru-000"):
        load_corpus(tmp_path)
