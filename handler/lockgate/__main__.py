"""`lockgate` and `python -m lockgate`: a process that begins and ends quickly around one command.

Knows the interpreter; knows no command. What is left at the end the operating system takes back faster
than the interpreter does.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

from lockgate.fast_start import start  # the first of ours: it makes the others cheap


def main() -> None:
    """Carry out one command and end the process with its status."""
    from lockgate.terminal.cli import main as run  # noqa: PLC0415 - its imports are what `start` makes cheap

    start.finish()
    _leave(run())


def _leave(status: int) -> None:
    """End the process without taking the interpreter apart: that is a tenth of a run with nothing to do.

    Whatever was to happen at the end happens first. Only a defect's traceback, or an option that ends
    the process, takes the long way.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - as the interpreter does, and there is no other name for it
    for stream in (sys.stdout, sys.stderr):
        # A stream that was closed, or whose reader has left, is nobody's concern any more.
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
