"""What is wrong with the settings."""

from collections.abc import Sequence


class SettingsError(Exception):
    """The settings are wrong; `problems` holds one line per problem, each naming its variable."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
