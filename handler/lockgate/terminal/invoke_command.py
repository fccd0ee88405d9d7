"""The command `lockgate invoke`: runs an action in a deployed function."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from lockgate.aws.function import RemoteFunction
from lockgate.errors import LockgateError
from lockgate.terminal import remote
from lockgate.terminal.conclude import EXIT_KILLED, make_progress, print_report, report_defect
from lockgate.terminal.user import find_user

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def run_invoke(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run in a deployed function and show its report."""
    options.requested_by = options.requested_by or find_user()
    progress = make_progress(options, environment)
    function = RemoteFunction(options.function, options.region, options.profile)
    try:
        with progress.waiting(f"Waiting for function {function.name}"):
            command = remote.make_command(options)
            invoke = remote.wait_for_start(function.invoke, progress.announce_start, time.sleep)
            report = remote.invoke_to_the_end(invoke, command, progress.announce_next)
    except KeyboardInterrupt:
        sys.stderr.write(
            "\nStopped waiting. The function continues; look with"
            f" lockgate invoke {function.name} --action status.\n"
        )
        return EXIT_KILLED
    except LockgateError as error:
        report = remote.report_failure(error)
    except Exception as error:  # noqa: BLE001 - a defect is reported like any other failure
        report = remote.report_failure(report_defect(error, options))
    return print_report(report, options, environment, set())
