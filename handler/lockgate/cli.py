"""The terminal: the composition root that people call, for the engine that the function runs too.

Knows options and exit statuses. Options go before the environment, and both become settings in one
way. What only one command needs is imported there: a run with nothing to do must not pay for colours,
AWS or an embedded server.
"""

from __future__ import annotations

import argparse
import difflib
import getpass
import os
import re
import socket
import sys
import traceback
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockgate import __version__
from lockgate.core.deadline import Deadline
from lockgate.core.request import Action, Caller, Request
from lockgate.errors import LockgateError, SettingInvalid, UnexpectedFailure
from lockgate.report import Report, Status
from lockgate.report_draft import refuse_report
from lockgate.settings import Atomicity, OutOfOrder, Settings, read_environment, read_settings
from lockgate.terminal.interrupts import caught_signals
from lockgate.terminal.progress import Progress
from lockgate.terminal.report import describe_report
from lockgate.terminal.screen import Screen
from lockgate.wiring import make_run_id, make_runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lockgate.core.catalog import Catalog

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
# As a shell says it of a command that Ctrl-C has ended.
EXIT_KILLED = 130

# Each option that is a setting, by its name among the parsed options.
OPTION_SETTINGS = {
    "database_url": "LOCKGATE_DATABASE_URL",
    "secret": "LOCKGATE_SECRET_ARN",
    "dir": "LOCKGATE_MIGRATIONS",
    "ca_file": "LOCKGATE_CA_FILE",
    "schema": "LOCKGATE_SCHEMA",
    "set_role": "LOCKGATE_SET_ROLE",
    "atomicity": "LOCKGATE_ATOMICITY",
    "out_of_order": "LOCKGATE_OUT_OF_ORDER",
    "lock_wait": "LOCKGATE_LOCK_WAIT",
    "lock_timeout": "LOCKGATE_LOCK_TIMEOUT",
}
# An option that names a database leaves behind what the environment says of another one.
_FIELDS = ("LOCKGATE_HOST", "LOCKGATE_PORT", "LOCKGATE_DBNAME", "LOCKGATE_USERNAME")
_LEFT_BEHIND = {
    "database_url": ("LOCKGATE_SECRET_ARN", *_FIELDS),
    "secret": ("LOCKGATE_DATABASE_URL",),
    "local": ("LOCKGATE_SECRET_ARN", "LOCKGATE_IAM_AUTH", "LOCKGATE_TLS", *_FIELDS),
}

_EXAMPLES = """\
examples:
  lockgate new add_email              write migrations/20261122093000_….sql
  lockgate plan --local               what would run on this folder's PostgreSQL
  lockgate up --local                 run it there
  lockgate up --secret shop/database  run it on a database, by its secret in AWS
  lockgate status --json --database-url postgresql://user:password@host/shop

Every LOCKGATE_ variable of the environment counts; options go before them.
exit status: 0 done, 1 failed, 2 refused, 3 another run is at work, 4 incomplete
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit status.

    0 done, 1 failed, 2 refused, 3 busy, 4 incomplete; 130 if a second Ctrl-C ended it at once.
    """
    _show_what_streams_can()
    options = _parse(arguments)
    try:
        status: int = options.run(options, read_environment())
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. What was not committed is rolled back.\n")
        return EXIT_KILLED
    return status


def _show_what_streams_can() -> None:
    """Let a character that a stream's encoding lacks become "?" instead of an exception."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Write output that nobody need read to its end, as before ``| head``."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# Options.


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    options, unknown = make_parser().parse_known_args(arguments)
    if unknown:
        word = unknown[0].partition("=")[0]
        known = re.findall(r"--[a-z-]+", options.parser.format_usage())
        near = difflib.get_close_matches(word, known, n=1)
        advice = f"; did you mean {near[0]}?" if near else ""
        options.parser.error(f"{word} is not understood{advice}")
    return options


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = argparse.ArgumentParser(
        prog="lockgate",
        description="Bring a PostgreSQL database to the schema that a deploy needs.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lockgate {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    up = _add_action(commands, Action.UP, "apply what is pending")
    plan = _add_action(commands, Action.PLAN, "show what up would do; change nothing")
    _add_action(commands, Action.STATUS, "show where the database stands")
    _add_action(commands, Action.VALIDATE, "check files and database against each other")
    unlock = _add_action(commands, Action.UNLOCK, "take the lock from a run, and end it")
    unlock.add_argument("--reason", metavar="TEXT", required=True, help="why; kept in the history")
    for command in (up, plan):
        command.add_argument("--target", metavar="VERSION", help="go no further than this version")
    up.add_argument("--reason", metavar="TEXT", help="why; kept with the run")
    up.add_argument("--requested-by", metavar="NAME", help="who wants it (default: the OS user)")
    _add_new(commands)
    _add_demo(commands)
    return parser


def _add_command(commands: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        allow_abbrev=False,
    )
    command.set_defaults(parser=command)
    command.add_argument(
        "--dir", metavar="DIR", help="folder of the migrations (default: migrations)"
    )
    command.add_argument("--no-color", action="store_true", help="plain text on a terminal, too")
    command.add_argument("--debug", action="store_true", help="show where a defect showed itself")
    return command


def _add_action(commands: Any, action: Action, purpose: str) -> argparse.ArgumentParser:
    command = _add_command(commands, action.value, purpose)
    command.set_defaults(run=_run_engine, action=action, target=None, reason=None)
    command.set_defaults(requested_by=None)
    database = command.add_argument_group("which database").add_mutually_exclusive_group()
    database.add_argument(
        "--database-url", metavar="URL", help="postgresql://user:password@host/db"
    )
    database.add_argument("--secret", metavar="ARN", help="ARN or name of its secret in AWS")
    database.add_argument(
        "--local", action="store_true", help="a PostgreSQL of this folder, kept in .lockgate"
    )
    rules = command.add_argument_group("how")
    rules.add_argument("--ca-file", metavar="PEM", help="further authorities to trust")
    rules.add_argument("--schema", metavar="NAME", help="schema of Lockgate's own tables")
    rules.add_argument("--set-role", metavar="ROLE", help="role to act as")
    rules.add_argument("--atomicity", metavar="MODE", help=", ".join(Atomicity))
    rules.add_argument("--out-of-order", metavar="POLICY", help=", ".join(OutOfOrder))
    rules.add_argument("--lock-wait", metavar="TIME", help="for another run to end, such as 30s")
    rules.add_argument("--lock-timeout", metavar="TIME", help="for locks on tables, such as 5s")
    output = command.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="the report as one JSON value")
    output.add_argument("--quiet", action="store_true", help="no progress; a success in one line")
    return command


def _add_new(commands: Any) -> None:
    new = _add_command(commands, "new", "write a new migration file")
    new.set_defaults(run=_run_new)
    new.add_argument("name", metavar="NAME", help="what it does, such as add_email_to_customers")
    kind = new.add_mutually_exclusive_group()
    kind.add_argument("--repeatable", action="store_true", help="runs again when it changes")
    kind.add_argument("--python", action="store_true", help="for data that SQL cannot change")


def _add_demo(commands: Any) -> None:
    purpose = "bring an embedded PostgreSQL through a deploy, a failure and its rollback"
    _add_command(commands, "demo", purpose).set_defaults(run=_run_demo)


# up, plan, status, validate.


def _run_engine(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    progress = Progress(
        None if options.quiet else Screen(sys.stderr, environment, plain=options.no_color)
    )
    report = _carry_out(options, environment, progress)
    with _reader_may_leave():
        if options.json:
            sys.stdout.write(report.to_text() + "\n")
        else:
            _show(report, options, environment, progress)
    return EXIT_STATUSES[report.status]


def _carry_out(
    options: argparse.Namespace, environment: Mapping[str, str], progress: Progress
) -> Report:
    """Return a report in every case but an interrupt."""
    run_id = make_run_id()
    try:
        with ExitStack() as stack:
            merged = merge_environment(environment, options)
            if options.local:
                from lockgate.local.workspace import open_workspace  # noqa: PLC0415

                merged |= stack.enter_context(open_workspace(Path()))
            settings = _read_settings(merged, options)
            return _run(settings, _make_request(options), progress, run_id)
    except LockgateError as error:
        return refuse_report(run_id, error)
    except Exception as error:  # noqa: BLE001 - a defect is reported like every other failure
        if options.debug:
            traceback.print_exc()
        return refuse_report(run_id, _unexpected(error), Status.FAILED)


def _run(settings: Settings, request: Request, progress: Progress, run_id: str) -> Report:
    deadline = Deadline(None, settings.reserve_ms)

    def stop(signal_name: str) -> None:
        deadline.interrupt(signal_name)
        progress.announce_stop(signal_name)

    runner = make_runner(settings, deadline, progress.emit, run_id=run_id)
    runner.read_catalog = partial(_read_labels, runner.read_catalog, progress)
    with progress, caught_signals(stop):
        return runner.run(request)


def _read_labels(read_catalog: Callable[[], Catalog], progress: Progress) -> Catalog:
    """Let the progress call migrations by their names: events have only ids."""
    catalog = read_catalog()
    progress.labels = {m.migration_id: m.label for m in catalog.migrations}
    return catalog


def merge_environment(
    environment: Mapping[str, str], options: argparse.Namespace
) -> dict[str, str]:
    """Return the environment with what the options say written over it."""
    given = {name: value for name, value in vars(options).items() if value}
    left_behind = {name for option in given for name in _LEFT_BEHIND.get(option, ())}
    merged = {name: value for name, value in environment.items() if name not in left_behind}
    for option, setting in OPTION_SETTINGS.items():
        # An empty text is given too: a variable that a script left unset is no reason to fall back.
        if getattr(options, option) is not None:
            merged[setting] = getattr(options, option)
    return merged


def _read_settings(merged: Mapping[str, str], options: argparse.Namespace) -> Settings:
    try:
        return read_settings(merged)
    except SettingInvalid as error:
        raise _name_option(error, options) from None


def _name_option(error: SettingInvalid, options: argparse.Namespace) -> SettingInvalid:
    """Say it of the option, if it was one that gave the value."""
    for option, setting in OPTION_SETTINGS.items():
        if error.fields.get("setting") == setting and getattr(options, option) is not None:
            flag = f"--{option.replace('_', '-')}"
            text = error.message.replace(setting, flag)
            return SettingInvalid(text, hint=f"Correct {flag}.", setting=setting)
    return error


def _make_request(options: argparse.Namespace) -> Request:
    return Request(
        action=options.action,
        caller=Caller("terminal", {"host": socket.gethostname()}),
        target=options.target,
        reason=options.reason,
        requested_by=options.requested_by or _find_user(),
    )


def _find_user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run as a number that has no name.
        return None


def _unexpected(error: Exception) -> UnexpectedFailure:
    return UnexpectedFailure(
        f"An unexpected {type(error).__name__} ended the run. What was not committed was rolled back;"
        " what was is in the history.",
        hint="Run it again with --debug to see where, and lockgate status to see where the database"
        " stands.",
    )


def _show(
    report: Report,
    options: argparse.Namespace,
    environment: Mapping[str, str],
    progress: Progress,
) -> None:
    screen = Screen(sys.stdout, environment, plain=options.no_color)
    # Shown already, if progress and report are on one screen.
    shown = progress.applied if screen.is_terminal and sys.stderr.isatty() else set()
    lines = describe_report(
        report.to_json(),
        screen.width,
        folder=options.dir or environment.get("LOCKGATE_MIGRATIONS") or "migrations",
        shown=frozenset(shown),
    )
    screen.show([next(lines)] if options.quiet and report.is_success else lines)


# new, demo.


def _run_new(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from lockgate.formats.new_file import Flavour, write_migration  # noqa: PLC0415

    flavour = Flavour.REPEATABLE if options.repeatable else Flavour.SQL
    if options.python:
        flavour = Flavour.PYTHON
    try:
        path = write_migration(
            _find_folder(options, environment), options.name, flavour, datetime.now(UTC)
        )
    except LockgateError as error:
        return _complain(error)
    sys.stdout.write(f"{path}\n")
    return 0


def _run_demo(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from lockgate.formats.lockgate import read_folder  # noqa: PLC0415
    from lockgate.formats.new_file import next_version  # noqa: PLC0415
    from lockgate.local.demo import run_demo  # noqa: PLC0415
    from lockgate.terminal.narration import Narration  # noqa: PLC0415

    folder = _find_folder(options, environment)
    narration = Narration(Screen(sys.stdout, environment, plain=options.no_color))
    try:
        read_folder(folder, {})
        is_right = False
        with _reader_may_leave(), caught_signals(_stop_at_once):
            version = next_version(folder, datetime.now(UTC))
            is_right = run_demo(_invoke_handler, folder, version, narration)
    except LockgateError as error:
        return _complain(error)
    return 0 if is_right else 1


def _invoke_handler(event: dict[str, Any], context: Any) -> Any:
    # Imported under the demo's redirection, so that its logger writes where the demo says.
    from lockgate.app import lambda_handler  # noqa: PLC0415

    return lambda_handler(event, context)


def _stop_at_once(_signal_name: str) -> None:
    raise KeyboardInterrupt


def _find_folder(options: argparse.Namespace, environment: Mapping[str, str]) -> Path:
    return Path(options.dir or environment.get("LOCKGATE_MIGRATIONS") or "migrations")


def _complain(error: LockgateError) -> int:
    report = refuse_report("", error)
    sys.stderr.write(f"lockgate: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"Hint: {error.hint}\n")
    return EXIT_STATUSES[report.status]


if __name__ == "__main__":
    sys.exit(main())
