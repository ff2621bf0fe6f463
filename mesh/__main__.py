"""Entry point of `agent`."""

import kit.lifecycle  # first: gRPC reads its switches when it is imported
from mesh.cli import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
