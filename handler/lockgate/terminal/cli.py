"""The terminal: the composition root that people call, for the engine that the function runs too.

Knows options and exit statuses. Options go before the environment, and both become settings in one
way. What only one command needs is imported there: a run with nothing to do must not pay for colours,
AWS or an embedded server.
"""

from __future__ import annotations

import getpass
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockgate.awslambda.callers.direct import make_request
from lockgate.core.address import Address
from lockgate.core.deadline import Deadline
from lockgate.core.policy import FirstRun
from lockgate.core.request import Action, Caller
from lockgate.core.state_after import NOT_BEGUN, describe_state, make_unknown
from lockgate.errors import LockgateError, RequestInvalid, SettingInvalid, UnexpectedFailure
from lockgate.report.draft import refuse_report, status_of
from lockgate.report.report import SUCCESSES, Report, Status, to_text
from lockgate.settings import Settings, read_environment, read_settings
from lockgate.terminal.arguments import REQUEST_OPTIONS, parse_arguments
from lockgate.terminal.interrupts import caught_signals
from lockgate.terminal.line import clean
from lockgate.terminal.output import open_output
from lockgate.terminal.progress import Progress
from lockgate.terminal.report import describe_report
from lockgate.terminal.screen import Screen
from lockgate.wiring import make_run_id, make_runner

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from lockgate.core.catalog import Catalog
    from lockgate.core.listing import Listing
    from lockgate.core.request import Request

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
_STOPPED = make_unknown("the command ended before it could look; lockgate status shows it")

# Each option that is a setting, by its name among the parsed options.
OPTION_SETTINGS = {
    "database_url": "LOCKGATE_DATABASE_URL",
    "secret": "LOCKGATE_SECRET_ARN",
    "dir": "LOCKGATE_MIGRATIONS",
    "format": "LOCKGATE_FORMAT",
    "ca_file": "LOCKGATE_CA_FILE",
    "schema": "LOCKGATE_SCHEMA",
    "set_role": "LOCKGATE_SET_ROLE",
    "atomicity": "LOCKGATE_ATOMICITY",
    "out_of_order": "LOCKGATE_OUT_OF_ORDER",
    "rollback": "LOCKGATE_ROLLBACK",
    "lock_wait": "LOCKGATE_LOCK_WAIT",
    "lock_timeout": "LOCKGATE_LOCK_TIMEOUT",
    "connect_budget": "LOCKGATE_CONNECT_BUDGET",
}
# Somebody waits, and has more likely mistyped a host than let a database fall asleep.
_CONNECT_BUDGET = "10s"
# Options that say which database and which folder, and so are part of a further command.
_REPEATED = ("database_url", "secret", "dir", "format", "ca_file", "schema", "set_role")
# The formats that read what `new` writes.
_WRITTEN_FORMATS = frozenset({"", "lockgate", "dbmate", "rails"})
# An option that names a database leaves behind what the environment says of another one.
_FIELDS = ("LOCKGATE_HOST", "LOCKGATE_PORT", "LOCKGATE_DBNAME", "LOCKGATE_USERNAME")
_LEFT_BEHIND = {
    "database_url": ("LOCKGATE_SECRET_ARN", *_FIELDS),
    "secret": ("LOCKGATE_DATABASE_URL",),
    "local": ("LOCKGATE_SECRET_ARN", "LOCKGATE_IAM_AUTH", "LOCKGATE_TLS", *_FIELDS),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit status.

    0 done, 1 failed, 2 refused, 3 busy, 4 incomplete; 130 if a second Ctrl-C ended it at once.
    """
    open_output()
    options = parse_arguments(arguments)
    try:
        status = COMMANDS[options.run](options, read_environment())
    except KeyboardInterrupt:
        sys.stderr.write(f"\nStopped. {describe_state(_STOPPED)}\n")
        return EXIT_KILLED
    return status


# What the engine does.


def _run_redo(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Undo the last migrations and apply them again: the loop in which a migration is written.

    As JSON it is one report, that of the second run, in which ``reverted`` is what the first has undone.
    """
    options.action = Action.DOWN
    progress = _make_progress(options, environment)
    undone = _carry_out(options, environment, progress)
    if undone.status is not Status.ROLLED_BACK:
        return _say(undone.to_json(), options, environment, progress.applied)
    if not options.json:
        _say(undone.to_json(), options, environment, progress.applied)
    options.action, options.steps, options.allow_data_loss = Action.UP, None, False
    options.first_run = FirstRun.ALLOW
    progress = _make_progress(options, environment)
    done = _carry_out(options, environment, progress)
    if options.json:
        done = replace(done, reverted=(*undone.reverted, *done.reverted))
    return _say(done.to_json(), options, environment, progress.applied)


def _run_engine(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    progress = _make_progress(options, environment)
    report = _carry_out(options, environment, progress)
    return _say(report.to_json(), options, environment, progress.applied)


def _make_progress(options: argparse.Namespace, environment: Mapping[str, str]) -> Progress:
    screen = Screen(sys.stderr, environment, plain=options.no_color)
    return Progress(None if options.quiet else screen, words=screen)


def _carry_out(
    options: argparse.Namespace, environment: Mapping[str, str], progress: Progress
) -> Report:
    """Return a report in every case but an interrupt."""
    run_id, claim = make_run_id(), NOT_BEGUN
    try:
        with ExitStack() as stack:
            merged = merge_environment(environment, options)
            if options.local:
                from lockgate.local.workspace import open_workspace  # noqa: PLC0415 - for the command that needs it

                merged |= stack.enter_context(open_workspace(Path()))
            settings = _read_settings(merged, options)
            address = Address(options=_repeat_options(options))
            request = _make_request(options)
            claim = make_unknown("the run ended before it could look")
            report = _run(settings, request, progress, run_id, address)
            return _without_circle(report, environment, options)
    except LockgateError as error:
        return refuse_report(run_id, error, claim)
    except Exception as error:  # noqa: BLE001 - a defect is reported like every other failure
        return refuse_report(run_id, _unexpected(error, options), claim)


def _run(
    settings: Settings, request: Request, progress: Progress, run_id: str, address: Address
) -> Report:
    deadline = Deadline(None, settings.reserve_ms)

    def stop(signal_name: str) -> None:
        deadline.interrupt(signal_name)
        progress.announce_stop(signal_name)

    runner = make_runner(
        settings, deadline, progress.emit, run_id=run_id, address=address, tell=progress.tell
    )
    read_catalog = partial(_read_labels, runner.means.read_catalog, progress)
    runner.means = replace(runner.means, read_catalog=read_catalog)
    with progress, caught_signals(stop):
        return runner.run(request)


def _repeat_options(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the options of this command that another one on the same database and folder needs.

    An address with a password is not shown: the reader has it.
    """
    words: list[str] = []
    for option in _REPEATED:
        value = getattr(options, option)
        if option == "database_url" and value:
            value = _without_password(value)
        if value:
            words += (f"--{option.replace('_', '-')}", value)
    return (*words, "--local") if options.local else tuple(words)


def _without_password(url: str) -> str:
    """Return an address, or three dots where it may hold a password."""
    user, at, rest = url.rpartition("@")
    is_open = at and user.count(":") > 1
    return f"{user.rpartition(':')[0]}:PASSWORD@{rest}" if is_open else url


def _read_labels(
    read_catalog: Callable[[Listing, int], Catalog],
    progress: Progress,
    listing: Listing,
    known: int,
) -> Catalog:
    """Let the progress call migrations by their names: events have only ids."""
    catalog = read_catalog(listing, known)
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


def _without_circle(
    report: Report, environment: Mapping[str, str], options: argparse.Namespace
) -> Report:
    """Return the report without a hint to set what is set, and left aside by an option."""
    error = report.error
    if error is None or error.hint is None or not options.database_url:
        return report
    for name in _LEFT_BEHIND["database_url"]:
        if name in environment and error.hint == f"Set {name}.":
            hint = (
                f"--database-url takes the place of {name} in the environment: write"
                " --database-url postgresql://USER@HOST:PORT/DATABASE, or leave the option out."
            )
            message = error.message.replace(f"{name} is not set", f"{name} is left aside")
            error = replace(error, message=message, hint=hint)
            return replace(report, error=error, next_action=hint)
    return report


def _read_settings(merged: Mapping[str, str], options: argparse.Namespace) -> Settings:
    try:
        # As everywhere, an empty value is not given.
        budget = merged.get("LOCKGATE_CONNECT_BUDGET") or _CONNECT_BUDGET
        return read_settings({**merged, "LOCKGATE_CONNECT_BUDGET": budget})
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
    given = {name: getattr(options, name, None) for name in REQUEST_OPTIONS}
    values = {name: value for name, value in given.items() if value is not None}
    values["requested_by"] = options.requested_by or _find_user()
    caller = Caller("terminal", {"host": socket.gethostname()})
    try:
        return make_request(options.action, caller, values)
    except RequestInvalid as error:
        hint = error.fields.get("in_terminal") or error.hint
        raise RequestInvalid(error.message, hint=str(hint)) from None


def _find_user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run as a number that has no name.
        return None


def _unexpected(error: Exception, options: argparse.Namespace) -> UnexpectedFailure:
    if options.debug:
        import traceback  # noqa: PLC0415 - for a defect

        traceback.print_exception(error)
    return UnexpectedFailure(
        f"An unexpected {type(error).__name__} ended the run.",
        hint="Run it again with --debug to see where, and lockgate status to see where the database"
        " stands.",
    )


def _say(
    report: dict[str, Any],
    options: argparse.Namespace,
    environment: Mapping[str, str],
    applied: set[str],
) -> int:
    """Print a report in its JSON form, and return the exit status that it means."""
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
    # Shown already, if progress and report are on one screen.
    shown = applied if screen.is_terminal and sys.stderr.isatty() else set()
    lines = describe_report(
        report,
        screen.width,
        folder=options.dir or environment.get("LOCKGATE_MIGRATIONS") or "migrations",
        shown=frozenset(shown),
    )
    is_success = report["status"] in SUCCESSES
    screen.show([next(lines)] if options.quiet and is_success else lines)


# invoke.


def _run_invoke(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run in a deployed function, as if it were here."""
    from lockgate.aws.function import RemoteFunction  # noqa: PLC0415 - for the command that needs it
    from lockgate.terminal import remote  # noqa: PLC0415 - for the command that needs it

    options.requested_by = options.requested_by or _find_user()
    progress = _make_progress(options, environment)
    function = RemoteFunction(options.function, options.region, options.profile)
    try:
        with progress.waiting(f"Waiting for function {function.name}"):
            command = remote.make_command(options)
            invoke = remote.wait_for_start(function.invoke, progress.announce_start, time.sleep)
            report = remote.invoke_to_the_end(invoke, command, progress.announce_next)
    except KeyboardInterrupt:
        sys.stderr.write(
            "\nStopped waiting. The function goes on; look with"
            f" lockgate invoke {function.name} --action status.\n"
        )
        return EXIT_KILLED
    except LockgateError as error:
        report = remote.report_failure(error)
    except Exception as error:  # noqa: BLE001 - a defect is reported like every other failure
        report = remote.report_failure(_unexpected(error, options))
    return _say(report, options, environment, set())


# new, demo.


def _run_new(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from lockgate.formats.native.new_file import Flavour, write_migration  # noqa: PLC0415 - for the command that needs it

    flavour = Flavour.REPEATABLE if options.repeatable else Flavour.SQL
    if options.python:
        flavour = Flavour.PYTHON
    try:
        _refuse_other_formats(environment.get("LOCKGATE_FORMAT", ""))
        path = write_migration(
            _find_folder(options, environment), options.name, flavour, datetime.now(UTC)
        )
    except LockgateError as error:
        return _complain(error)
    sys.stdout.write(f"{path}\n")
    return 0


def _refuse_other_formats(name: str) -> None:
    """Refuse to write a native file into a folder whose tool would read it otherwise."""
    if name not in _WRITTEN_FORMATS:
        raise SettingInvalid(
            f"The migrations here are {name}'s (LOCKGATE_FORMAT), and new writes Lockgate's own format.",
            hint=f"Write the file as {name} does.",
            setting="LOCKGATE_FORMAT",
        )


def _run_demo(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from lockgate.formats.native.new_file import next_version  # noqa: PLC0415 - for the command that needs it
    from lockgate.formats.native.reader import read_folder  # noqa: PLC0415 - for the command that needs it
    from lockgate.local.demo import run_demo  # noqa: PLC0415 - for the command that needs it
    from lockgate.terminal.narration import Narration  # noqa: PLC0415 - for the command that needs it

    folder = _find_folder(options, environment)
    narration = Narration(Screen(sys.stdout, environment, plain=options.no_color))
    try:
        read_folder(folder, {})
        is_right = False
        with caught_signals(_stop_at_once):
            version = next_version(folder, datetime.now(UTC))
            is_right = run_demo(_invoke_handler, folder, version, narration)
    except LockgateError as error:
        return _complain(error)
    return 0 if is_right else 1


def _invoke_handler(event: dict[str, Any], context: Any) -> Any:
    # Imported under the demo's redirection, so that its logger writes where the demo says.
    from lockgate.awslambda.app import lambda_handler  # noqa: PLC0415 - for the command that needs it

    return lambda_handler(event, context)


def _stop_at_once(_signal_name: str) -> None:
    raise KeyboardInterrupt


def _find_folder(options: argparse.Namespace, environment: Mapping[str, str]) -> Path:
    return Path(options.dir or environment.get("LOCKGATE_MIGRATIONS") or "migrations")


def _complain(error: LockgateError) -> int:
    sys.stderr.write(f"lockgate: {clean(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"Hint: {clean(error.hint)}\n")
    return EXIT_STATUSES[status_of(error)]


COMMANDS = {
    "engine": _run_engine,
    "redo": _run_redo,
    "invoke": _run_invoke,
    "new": _run_new,
    "demo": _run_demo,
}

if __name__ == "__main__":
    sys.exit(main())
