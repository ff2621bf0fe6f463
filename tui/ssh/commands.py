"""What may be asked for over SSH: the full screen, and commands on a list with the options that stand beside them.

No shell ever reads what was sent. Options before a command (`--target`, `--key`) would choose another gateway or read
files of this machine; they are not on the list.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MOST_CHARACTERS = 4096
_HELP = frozenset({"--help", "-h"})


class NotAllowed(Exception):
    """This is not on the list; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What may follow a command: flags, options with a value, and this many words."""

    flags: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    words: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client wants: the arguments of `agent-console`. A `screen` needs a terminal."""

    arguments: tuple[str, ...]
    screen: bool


def _grammar(flags: str = "", options: str = "", words: int = 0) -> Grammar:
    return Grammar(frozenset(flags.split()), frozenset(options.split()), words)


SCREEN = _grammar("--ascii --no-mouse --read-only", "--theme")
COMMANDS: Mapping[tuple[str, ...], Grammar] = {
    ("sessions",): _grammar("--json --watch"),
    ("services",): _grammar("--json --watch"),
    ("queues",): _grammar("--json --watch"),
    ("breakers",): _grammar("--json --watch"),
    ("audit",): _grammar("--json --watch", "--limit --outcome --subject --endpoint"),
    ("logs",): _grammar("--json --follow --watch -f", "--level --room --contains --lines"),
    ("tail",): _grammar("--json", words=1),
    ("dlq", "ls"): _grammar("--json", words=1),
    ("dlq", "requeue"): _grammar(options="--reason", words=500),
    ("dlq", "drop"): _grammar(options="--reason --yes-drop", words=500),
    ("breaker", "reset"): _grammar(options="--reason --expected", words=1),
    ("whoami",): _grammar("--json"),
    ("doctor",): _grammar(),
}
ALLOWED = ", ".join(" ".join(command) for command in COMMANDS)


def read_wanted(line: str) -> Wanted:
    """Read what a client sent instead of asking for a shell; an empty line is the full screen.

    Raises:
        NotAllowed: it is not on the list.
    """
    if len(line) > _MOST_CHARACTERS or not line.isprintable():
        raise NotAllowed(f"the command has control characters, or more than {_MOST_CHARACTERS} of any")
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise NotAllowed(f"the command cannot be read: {str(error).lower()}") from None
    if all(word.startswith("--") or before == "--theme" for before, word in zip(["", *words], words, strict=False)):
        _check(words, SCREEN, "the full screen", shown=frozenset())
        return Wanted(tuple(words), screen=True)
    for length in (2, 1):
        command = tuple(words[:length])
        if command in COMMANDS:
            _check(words[length:], COMMANDS[command], " ".join(command), shown=_HELP)
            return Wanted(tuple(words), screen=False)
    raise NotAllowed(f"there is no shell here; the commands are {ALLOWED}")


def _check(given: Sequence[str], grammar: Grammar, command: str, *, shown: frozenset[str]) -> None:
    rest = list(given)
    words = 0
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if not word.startswith("-"):
            words += 1
        elif name in grammar.options:
            if not equals:
                if not rest or rest[0].startswith("-"):
                    raise NotAllowed(f"{name} of {command} wants a value")
                rest.pop(0)
        elif word not in grammar.flags | shown:
            raise NotAllowed(f"{command} has no option {name} here")
    if words > grammar.words:
        raise NotAllowed(f"{command} takes {grammar.words or 'no'} words here")
