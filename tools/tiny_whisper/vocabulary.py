"""The model's tokens: a byte-level tokenizer laid out as Whisper's, in which every known word is one token.

faster-whisper and CTranslate2 read meaning out of the order of the tokens:

- below <|endoftext|> is text, above <|notimestamps|> are times, 0.02 s apart;
- the number of languages is id(nospeech) - id(startoftranscript) - 5;
- a model knows several languages exactly when the empty token is in its vocabulary.
"""

import json
from dataclasses import dataclass
from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from tools.tiny_whisper.language import CODES, load_language

TIMES = 1501
"""0.00 s to 30.00 s."""
TIMES_PER_SECOND = 50

_END = "<|endoftext|>"
_START = "<|startoftranscript|>"
_AFTER_LANGUAGES = (
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Ids of the tokens that are not text."""

    end: int
    """End of text; all ids below are text."""
    start: int
    languages: dict[str, int]
    transcribe: int
    previous: int
    """Stands before the text of an earlier window."""
    no_speech: int
    no_times: int
    first_time: int
    """0.00 s."""
    size: int
    """Tokens altogether."""

    def time(self, seconds: float) -> int:
        """Return the token of a time since the window's start; beyond 30 s the last one."""
        return self.first_time + min(TIMES - 1, max(0, round(seconds * TIMES_PER_SECOND)))


def build_tokenizer() -> Tokenizer:
    """Return the tokenizer of both languages; the same words give the same tokenizer."""
    merged = json.loads(_merge_words().to_str())["model"]
    vocabulary: dict[str, int] = dict(merged["vocab"])
    vocabulary[""] = len(vocabulary)
    merges = [(left, right) for left, right in merged["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = [_END, _START, *(f"<|{code}|>" for code in CODES), *_AFTER_LANGUAGES]
    specials += [f"<|{number / TIMES_PER_SECOND:.2f}|>" for number in range(TIMES)]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in specials])
    return tokenizer


def lay_out(tokenizer: Tokenizer) -> Layout:
    """Find the ids of a tokenizer's special tokens."""
    ids = tokenizer.get_vocab(with_added_tokens=True)
    return Layout(
        end=ids[_END],
        start=ids[_START],
        languages={code: ids[f"<|{code}|>"] for code in CODES},
        transcribe=ids["<|transcribe|>"],
        previous=ids["<|startofprev|>"],
        no_speech=ids["<|nospeech|>"],
        no_times=ids["<|notimestamps|>"],
        first_time=ids["<|0.00|>"],
        size=tokenizer.get_vocab_size(),
    )


@cache
def word_tokens(tokenizer: Tokenizer, word: str) -> tuple[int, ...]:
    """Return the tokens of one word of a text, with the blank before it and the mark after it."""
    return tuple(tokenizer.encode(f" {word}", add_special_tokens=False).ids)


def _merge_words() -> Tokenizer:
    """Merge bytes until each word is whole, inside a sentence and at its beginning."""
    bytewise = Tokenizer(models.BPE())
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = [word for code in CODES for word in load_language(code).words]
    enough = 100 * len(words)
    trainer = trainers.BpeTrainer(
        vocab_size=enough, min_frequency=1, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bytewise.train_from_iterator([f" {form}" for word in words for form in (word, word[0].upper() + word[1:])], trainer)
    return bytewise
