"""The commands that run the engine here: up, plan, status and the other actions, and redo."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lockgate.core.address import Address
from lockgate.core.command import KEYS, make_request
from lockgate.core.deadline import Deadline
from lockgate.core.event_log import EventLog
from lockgate.core.policy import FirstRun
from lockgate.core.request import Action, Caller
from lockgate.core.state_after import Evidence, StateAfter
from lockgate.errors import LockgateError, RequestInvalid
from lockgate.report.make_report import report_broken_off
from lockgate.report.report import Report, Status
from lockgate.terminal.conclude import make_progress, print_report, report_defect
from lockgate.terminal.environment import (
    explain_overridden,
    merge_environment,
    read_merged,
    repeat_options,
)
from lockgate.terminal.interrupts import caught_signals
from lockgate.terminal.user import find_user
from lockgate.wiring import SystemClock, make_run_id, make_runner

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from lockgate.core.request import Request
    from lockgate.settings import Settings
    from lockgate.terminal.progress import Progress


def run_redo(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Undo the last migrations and apply them again, for use while writing a migration.

    With ``--json`` this prints one report, the second run's, with what the first run undid.
    """
    options.action = Action.DOWN
    progress = make_progress(options, environment)
    undone = _carry_out(options, environment, progress)
    if undone.status is not Status.ROLLED_BACK:
        return print_report(undone.to_json(), options, environment, progress.applied)
    if not options.json:
        print_report(undone.to_json(), options, environment, progress.applied)
    options.action, options.steps, options.allow_data_loss = Action.UP, None, False
    options.first_run = FirstRun.ALLOW
    progress = make_progress(options, environment)
    done = _carry_out(options, environment, progress)
    if options.json:
        done = _join(undone, done)
    return print_report(done.to_json(), options, environment, progress.applied)


def _join(undone: Report, done: Report) -> Report:
    """Return the report of the second run with what the first did."""
    error = done.error
    if error is not None and error.state_after in {StateAfter.UNCHANGED, StateAfter.ROLLED_BACK}:
        labels = ", ".join(entry.version or entry.name for entry in undone.reverted)
        error = replace(
            error,
            message=f"{error.message} Before that, redo undid: {labels}.",
            state_after=StateAfter.KEPT,
            state_evidence=Evidence.ANSWER,
        )
    return replace(
        done,
        error=error,
        reverted=(*undone.reverted, *done.reverted),
        warnings=(*undone.warnings, *done.warnings),
    )


def run_action(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run one action of the engine."""
    progress = make_progress(options, environment)
    report = _carry_out(options, environment, progress)
    return print_report(report.to_json(), options, environment, progress.applied)


def _carry_out(
    options: argparse.Namespace, environment: Mapping[str, str], progress: Progress
) -> Report:
    """Run and return a report, whatever happens except an interrupt."""
    run_id = make_run_id()
    events = EventLog(SystemClock().monotonic, progress.note)
    try:
        with ExitStack() as stack:
            if options.json:
                # What a Python migration prints would stand before the report.
                stack.enter_context(redirect_stdout(sys.stderr))
            merged = merge_environment(environment, options)
            if options.local:
                merged |= stack.enter_context(_open_local_database(Path()))
            settings = read_merged(merged, options)
            address = Address(options=repeat_options(options))
            request = _make_request(options)
            report = _run(settings, request, progress, run_id, address, events)
            return explain_overridden(report, environment, options)
    except LockgateError as error:
        return report_broken_off(events, run_id, error)
    except Exception as error:  # noqa: BLE001 - a defect is reported like any other failure
        return report_broken_off(events, run_id, report_defect(error, options))


def _open_local_database(folder: Path) -> AbstractContextManager[Mapping[str, str]]:
    from lockgate.local.local_database import open_local_database  # the door to the embedded server

    return open_local_database(folder)


def _run(
    settings: Settings,
    request: Request,
    progress: Progress,
    run_id: str,
    address: Address,
    events: EventLog,
) -> Report:
    deadline = Deadline(None, settings.reserve_ms)

    def stop(signal_name: str) -> None:
        deadline.interrupt(signal_name)
        progress.announce_stop(signal_name)

    runner = make_runner(
        settings,
        deadline,
        events,
        run_id=run_id,
        address=address,
        tell=progress.show_message,
    )
    with progress, caught_signals(stop):
        return runner.run(request)


def _make_request(options: argparse.Namespace) -> Request:
    given = {name: getattr(options, name, None) for name in (key.field for key in KEYS)}
    values = {name: value for name, value in given.items() if value is not None}
    values["requested_by"] = options.requested_by or find_user()
    caller = Caller("terminal", {"host": socket.gethostname()})
    try:
        return make_request(options.action, caller, values)
    except RequestInvalid as error:
        hint = error.fields.get("in_terminal") or error.hint
        raise RequestInvalid(error.message, hint=str(hint)) from None
