"""Audio files: their length, and whether two channels are the two sides of a call."""

import wave
from pathlib import Path

import numpy as np
import pytest

from mesh.audio import UnreadableAudio, decoded, decoded_by_speaker, examine
from services.stt.audio import Pcm
from tests.data.speech.sentences import noise, sentences, silence


def _write(path: Path, *channels: Pcm, rate: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.stack(channels, axis=1).astype("<i2").tobytes())
    return path


def _turns() -> tuple[Pcm, Pcm]:
    """Two people who speak in turn, each heard alone."""
    first, second = sentences("en")[0].pcm, sentences("en")[1].pcm
    left = np.concatenate([first, silence(len(second) / 16_000)])
    right = np.concatenate([silence(len(first) / 16_000), second])
    return left, right[: len(left)]


def test_the_sides_of_a_call_are_told_apart(tmp_path: Path):
    left, right = _turns()
    recording = examine(_write(tmp_path / "call.wav", left, right))
    assert (recording.speakers, round(recording.seconds, 2)) == (2, round(len(left) / 16_000, 2))
    hiss = noise(len(left) / 16_000, amplitude=30)[: len(left)]
    cross = (left + right // 10 + hiss).astype(np.int16), (right + left // 10 + hiss).astype(np.int16)
    assert examine(_write(tmp_path / "crosstalk.wav", *cross)).speakers == 2


def test_one_sound_in_two_channels_is_one_speaker(tmp_path: Path):
    left, right = _turns()
    both = (left // 2 + right // 2).astype(np.int16)
    assert examine(_write(tmp_path / "same.wav", both, both)).speakers == 1
    wide = (left + right // 2).astype(np.int16), (right + left // 2).astype(np.int16)
    assert examine(_write(tmp_path / "wide.wav", *wide)).speakers == 1
    assert examine(_write(tmp_path / "one side.wav", left, silence(len(left) / 16_000)[: len(left)])).speakers == 1
    assert examine(_write(tmp_path / "mono.wav", both)).speakers == 1


def test_the_user_knows_better(tmp_path: Path):
    left, right = _turns()
    path = _write(tmp_path / "call.wav", left, right)
    assert examine(path, "mix").speakers == 1
    assert examine(_write(tmp_path / "same.wav", left, left), "speakers").speakers == 2
    assert examine(_write(tmp_path / "mono.wav", left), "speakers").speakers == 1


def test_each_speaker_is_decoded_alone(tmp_path: Path):
    left, right = _turns()
    path = _write(tmp_path / "call.wav", left, right)
    pieces = list(decoded_by_speaker(path, 2))
    assert b"".join(piece[0] for piece in pieces) == left.tobytes()
    assert b"".join(piece[1] for piece in pieces) == right.tobytes()
    assert max(len(side) for piece in pieces for side in piece) == 32_000
    [mixed] = {len(b"".join(decoded(path))), len(b"".join(piece[0] for piece in decoded_by_speaker(path, 1)))}
    assert mixed == 2 * len(left)


def test_a_telephone_call_is_brought_to_our_rate(tmp_path: Path):
    left, right = _turns()
    path = _write(tmp_path / "call.wav", left[::2], right[::2], rate=8_000)
    assert examine(path).speakers == 2
    sides = [b"".join(side) for side in zip(*decoded_by_speaker(path, 2), strict=True)]
    assert len(sides[0]) == len(sides[1]) == pytest.approx(2 * len(left), abs=100)


def test_what_is_no_audio_says_so(tmp_path: Path):
    path = tmp_path / "noise.mp3"
    path.write_text("this is not music")
    with pytest.raises(UnreadableAudio, match=r"noise\.mp3: no audio in it"):
        examine(path)
