"""`python -m lockgate`, for where the command `lockgate` is not on the path."""

from __future__ import annotations

import sys

from lockgate.cli import main

if __name__ == "__main__":
    sys.exit(main())
