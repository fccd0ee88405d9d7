"""Prints how a command ended, and returns its exit status."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

from lockgate.errors import LockgateError, UnexpectedFailure
from lockgate.report.refusal import status_of
from lockgate.report.report import SUCCESSES, Status, to_text
from lockgate.terminal.line import printable
from lockgate.terminal.progress import Progress
from lockgate.terminal.report import describe_report
from lockgate.terminal.screen import Screen

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

EXIT_STATUSES = {
    Status.APPLIED: 0,
    Status.UP_TO_DATE: 0,
    Status.PLANNED: 0,
    Status.ROLLED_BACK: 0,
    Status.FAILED: 1,
    Status.REFUSED: 2,
    Status.BUSY: 3,
    Status.INCOMPLETE: 4,
}
# What a shell returns for a command that Ctrl-C ended.
EXIT_KILLED = 130


def make_progress(options: argparse.Namespace, environment: Mapping[str, str]) -> Progress:
    """Return the display of a command's progress; with ``--quiet`` it shows only errors."""
    screen = Screen(sys.stderr, environment, plain=options.no_color)
    return Progress(None if options.quiet else screen, error_screen=screen)


def print_report(
    report: dict[str, Any],
    options: argparse.Namespace,
    environment: Mapping[str, str],
    applied: set[str],
) -> int:
    """Print a report, given in its JSON form, and return its exit status."""
    if options.json:
        sys.stdout.write(to_text(report) + "\n")
    else:
        _show(report, options, environment, applied)
    sys.stdout.flush()
    return EXIT_STATUSES[Status(report["status"])]


def _show(
    report: dict[str, Any],
    options: argparse.Namespace,
    environment: Mapping[str, str],
    applied: set[str],
) -> None:
    screen = Screen(sys.stdout, environment, plain=options.no_color)
    # If progress and report share a screen, these were shown already.
    shown = applied if screen.is_terminal and sys.stderr.isatty() else set()
    lines = describe_report(
        report,
        screen.width,
        folder=options.dir or environment.get("LOCKGATE_MIGRATIONS") or "migrations",
        shown=frozenset(shown),
    )
    is_success = report["status"] in SUCCESSES
    screen.show([next(lines)] if options.quiet and is_success else lines)


def print_error(error: LockgateError) -> int:
    """Print an error of a command that makes no report, and return its exit status."""
    sys.stderr.write(f"lockgate: {printable(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"Hint: {printable(error.hint)}\n")
    return EXIT_STATUSES[status_of(error)]


def report_defect(error: Exception, options: argparse.Namespace) -> UnexpectedFailure:
    """Return an unexpected exception as an error; with ``--debug``, print its traceback."""
    if options.debug:
        traceback.print_exception(error)
    return UnexpectedFailure(
        f"An unexpected {type(error).__name__} ended the run.",
        hint="Run the command again with --debug to see where it failed, and lockgate status to see the"
        " state of the database.",
    )
