"""``python -m autobahn``."""

import sys

from autobahn.cli import main

if __name__ == "__main__":
    sys.exit(main())
