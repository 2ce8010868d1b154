"""``python -m fogverse`` is the command ``fogverse``."""

import sys

from fogverse.cli import main

if __name__ == "__main__":
    sys.exit(main())
