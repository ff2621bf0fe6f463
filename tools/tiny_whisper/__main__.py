"""`python -m tools.tiny_whisper --help`."""

import sys

from tools.tiny_whisper.commands import main

if __name__ == "__main__":
    sys.exit(main())
