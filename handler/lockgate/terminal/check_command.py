"""The command `lockgate check`: examines the files, and asks no database."""

from __future__ import annotations

import sys
import traceback
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockgate.check.check_folder import FolderToCheck, check_folder
from lockgate.check.result import CheckResult, CheckStatus, describe_problem
from lockgate.errors import LockgateError, UnexpectedFailure
from lockgate.report.report import to_text
from lockgate.settings import SETTINGS
from lockgate.terminal.check_output import describe_check
from lockgate.terminal.conclude import EXIT_KILLED
from lockgate.terminal.environment import merge_environment, read_merged
from lockgate.terminal.screen import Screen

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

# The settings that decide how files are read and planned; a check reads no other.
FILE_SETTINGS = frozenset(
    {
        "LOCKGATE_MIGRATIONS",
        "LOCKGATE_FORMAT",
        "LOCKGATE_ATOMICITY",
        "LOCKGATE_ALEMBIC_PLUGINS",
    }
)
_EXIT_PASSED, _EXIT_FAILED, _EXIT_REFUSED = 0, 1, 2


def run_check(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Check the folder and print the result.

    Returns 0 if a run would accept the files, also with warnings, and 2 if it would refuse them.
    """
    try:
        with ExitStack() as stack:
            if options.json:
                # What a plugin of Alembic prints would stand before the result.
                stack.enter_context(redirect_stdout(sys.stderr))
            result = _check(options, environment)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        return EXIT_KILLED
    except Exception as error:  # noqa: BLE001 - a defect is reported like any other failure
        if options.debug:
            traceback.print_exception(error)
        defect = UnexpectedFailure(
            f"An unexpected {type(error).__name__} ended the check.",
            hint="Run the command again with --debug to see where it failed.",
        )
        _print(_refuse(options, environment, defect).to_json(), options, environment)
        return _EXIT_FAILED
    _print(result.to_json(), options, environment)
    return _EXIT_REFUSED if result.status is CheckStatus.REFUSED else _EXIT_PASSED


def _check(options: argparse.Namespace, environment: Mapping[str, str]) -> CheckResult:
    others = {setting.name for setting in SETTINGS} - FILE_SETTINGS
    merged = merge_environment(environment, options)
    try:
        settings = read_merged({k: v for k, v in merged.items() if k not in others}, options)
    except LockgateError as error:
        return _refuse(options, environment, error)
    return check_folder(
        FolderToCheck(
            Path(settings.migrations),
            settings.format,
            settings.atomicity,
            settings.variables,
            settings.alembic_plugins,
        )
    )


def _refuse(
    options: argparse.Namespace, environment: Mapping[str, str], error: LockgateError
) -> CheckResult:
    """Return the result of a check that could not begin."""
    folder = options.dir or environment.get("LOCKGATE_MIGRATIONS") or "migrations"
    return CheckResult(folder, problems=(describe_problem(error),))


def _print(
    value: dict[str, Any], options: argparse.Namespace, environment: Mapping[str, str]
) -> None:
    if options.json:
        sys.stdout.write(to_text(value) + "\n")
    else:
        screen = Screen(sys.stdout, environment, plain=options.no_color)
        lines = describe_check(value, screen.width)
        is_success = value["status"] == CheckStatus.PASSED
        screen.show([next(lines)] if options.quiet and is_success else lines)
    sys.stdout.flush()
