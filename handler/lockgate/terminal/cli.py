"""The command line: parses the arguments and runs one command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lockgate.core.state_after import describe_state, make_unknown
from lockgate.settings import read_environment
from lockgate.terminal.arguments import parse_arguments
from lockgate.terminal.conclude import EXIT_KILLED
from lockgate.terminal.output import open_output

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    Command = Callable[[argparse.Namespace, Mapping[str, str]], int]

_STOPPED = make_unknown("the command ended before it could check; run lockgate status")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 done, 1 failed, 2 refused, 3 busy, 4 incomplete; 130 if a second Ctrl-C stopped it at once.
    """
    open_output()
    options = parse_arguments(arguments)
    try:
        status = find_command(options.run)(options, read_environment())
    except KeyboardInterrupt:
        sys.stderr.write(f"\nStopped. {describe_state(_STOPPED)}\n")
        return EXIT_KILLED
    return status


def find_command(name: str) -> Command:
    """Return the function that runs a command; ``name`` is what the parser calls ``run``.

    Each is imported here: a run with nothing to do needs neither AWS nor an embedded server, and a check
    needs no database.
    """
    if name == "invoke":
        from lockgate.terminal.invoke_command import run_invoke  # the door to AWS

        return run_invoke
    if name == "demo":
        from lockgate.terminal.demo_command import run_demo  # the door to the demo

        return run_demo
    if name == "new":
        from lockgate.terminal.new_command import run_new  # the door to new files

        return run_new
    if name == "check":
        from lockgate.terminal.check_command import run_check  # the door to the check

        return run_check
    from lockgate.terminal.run_command import run_action, run_redo  # the door to the engine

    return {"redo": run_redo, "engine": run_action}[name]


if __name__ == "__main__":
    sys.exit(main())
