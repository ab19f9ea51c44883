"""`python -m nextfill`."""

import sys

from nextfill.cli import main

if __name__ == "__main__":
    sys.exit(main())
