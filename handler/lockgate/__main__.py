"""The entry point of the command line: `lockgate` and `python -m lockgate`."""

from __future__ import annotations

import sys

from lockgate.fast_start.garbage import pause_collection, resume_collection


def main() -> None:
    """Run one command and exit with its status."""
    pause_collection()
    from lockgate.terminal.cli import main as run  # while the collector is paused

    resume_collection()
    sys.exit(run())


if __name__ == "__main__":
    main()
