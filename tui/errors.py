"""Why the console cannot show the mesh, as sentences that say what to do; each kind has its exit code.

    ConsoleError          1   anything else the gateway answered
    ├── Unreachable       3   nobody answers at the address
    ├── StreamBroken      1   the stream ended or cannot be trusted; a new one starts with a snapshot
    ├── KeyNotAccepted    4   no key, or one that the gateway does not know
    ├── KeyNotAllowed     5   a key that may not watch the mesh
    ├── Refused           1   this cannot be done, or not in the present state
    └── NotTheGateway     1   something else answers at the address

Wrong options and settings end the program with 2 before anything is tried.
"""

from typing import ClassVar


class ConsoleError(Exception):
    """The gateway answered with an error.

    Args:
        sentence: what is wrong and what to do.
        why: the same in a few words, for a line that says it while the console tries again.
    """

    exit_code: ClassVar[int] = 1
    final: ClassVar[bool] = False
    """Whether asking again cannot help."""

    def __init__(self, sentence: str, *, why: str = "") -> None:
        super().__init__(sentence)
        self.why = why or sentence


class Unreachable(ConsoleError):
    """The gateway cannot be reached."""

    exit_code = 3

    def __init__(self, target: str, *, why: str = "cannot be reached") -> None:
        super().__init__(
            f"The gateway at {target} {why}. Is the mesh running? Start it with `agent up`, or pass "
            "--target HOST:PORT (the gateway's gRPC port).",
            why=why,
        )

    @classmethod
    def unsafe(cls, target: str, problem: str) -> "Unreachable":
        """Return the error for a gateway that is there, while the two ends do not agree about TLS."""
        error = cls.__new__(cls)
        sentence = f"No safe connection to the gateway at {target}: {problem}. The console takes --ca-file FILE too."
        ConsoleError.__init__(error, sentence, why=problem)
        return error

    @classmethod
    def room(cls, sentence: str) -> "Unreachable":
        """Return the error for a gateway that answers while a room behind it does not."""
        error = cls.__new__(cls)
        ConsoleError.__init__(error, sentence)
        return error


class StreamBroken(ConsoleError):
    """The stream ended or lost something."""


class KeyNotAccepted(ConsoleError):
    """The gateway does not know the caller."""

    exit_code = 4
    final = True


class KeyNotAllowed(ConsoleError):
    """The gateway knows the caller, who may not do this."""

    exit_code = 5
    final = True


class Refused(ConsoleError):
    """The mesh answers, and will not do this."""


class NotTheGateway(ConsoleError):
    """The other end does not speak this contract."""

    final = True
