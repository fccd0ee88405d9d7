"""The command `lockgate demo`: a deploy, a failure and its rollback on an embedded server."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lockgate.errors import LockgateError
from lockgate.formats.native.new_file import next_version
from lockgate.formats.native.reader import read_folder
from lockgate.local.demo import run_demo as show_demo
from lockgate.terminal.conclude import print_error
from lockgate.terminal.demo_output import DemoScreen
from lockgate.terminal.interrupts import caught_signals
from lockgate.terminal.new_command import find_folder
from lockgate.terminal.screen import Screen

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def run_demo(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Show a deploy, a failure and its rollback on an embedded server."""
    folder = find_folder(options, environment)
    output = DemoScreen(Screen(sys.stdout, environment, plain=options.no_color))
    try:
        read_folder(folder, {})
        is_right = False
        with caught_signals(_stop_at_once):
            version = next_version(folder, datetime.now(UTC))
            is_right = show_demo(_invoke_handler, folder, version, output)
    except LockgateError as error:
        return print_error(error)
    return 0 if is_right else 1


def _invoke_handler(event: dict[str, Any], context: Any) -> Any:
    # Imported while the demo redirects output, so that the logger writes into the demo's log.
    from lockgate.awslambda.app import lambda_handler  # see above

    return lambda_handler(event, context)


def _stop_at_once(_signal_name: str) -> None:
    raise KeyboardInterrupt
