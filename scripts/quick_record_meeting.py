#!/usr/bin/env python3
"""Record a meeting on this desktop from its link: `python3 scripts/quick_record_meeting.py --url https://...`.

Everything is explained by `--help` and in docs/quick-recording.md.
"""

import sys
from pathlib import Path


def start() -> int:
    """Run the recorder; what it needs is in the project's environment."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    try:
        from scripts.quick_record.command import main
    except ModuleNotFoundError as error:
        print(
            f"quick-record: {error.name} is not installed here; use `make quick-record URL=...`, "
            f"or .venv/bin/python {Path(__file__).name}",
            file=sys.stderr,
        )
        return 2
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(start())
