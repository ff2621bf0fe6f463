"""LocalAgreement-2: a word of an interim is stable once two successive decodes agree on everything up to it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AgreedText:
    """One interim, split where agreement ends."""

    stable: str
    unstable: str


class LocalAgreement:
    """The agreement of one utterance's interims; a word once stable is never taken back."""

    def __init__(self) -> None:
        self._stable: list[str] = []
        self._previous: list[str] = []

    def update(self, text: str) -> AgreedText:
        """Take the next decode of the utterance so far and return what is agreed on."""
        words = text.split()
        agreed = _common_prefix_length(self._previous, words)
        if agreed > len(self._stable):
            self._stable += words[len(self._stable) : agreed]
        self._previous = words
        return AgreedText(stable=" ".join(self._stable), unstable=" ".join(words[len(self._stable) :]))


def _common_prefix_length(left: list[str], right: list[str]) -> int:
    length = 0
    for one, other in zip(left, right, strict=False):
        if _bare(one) != _bare(other):
            break
        length += 1
    return length


def _bare(word: str) -> str:
    # Punctuation and case settle last: they must not hold back a word that is otherwise clear.
    return "".join(character for character in word.casefold() if character.isalnum()) or word
