"""Entry point of `agent-console`."""

import kit  # noqa: F401 - first: gRPC reads its switches when it is imported, and must not write over the screen
from tui.cli import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
