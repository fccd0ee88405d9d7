"""Describes why a run did not succeed, in one line whose beginning is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.state_after import StateAfter, describe_briefly
from lockgate.errors import LockgateError
from lockgate.report.report import Entry, Report, Status

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_NAME = 200
# CloudFormation rejects a failure without a reason.
_SILENT = "The run failed without a message; see the function's log."
# A message ends with the state of the database. One up to this length is never cut before that.
_NEVER_CUT_CHARACTERS = 500


def make_reason(outcome: Report | LockgateError) -> str:
    """Return what happened, most important first: migration, SQLSTATE, state of the database.

    Then the error's message, the hint and the run. One line, without control characters.
    """
    if isinstance(outcome, LockgateError):
        return to_one_line(f"{outcome.message} {_to_sentence(outcome.hint or '')}") or _SILENT
    error = outcome.error
    said = [] if error is None else [error.message, _to_sentence(error.hint or "")]
    run = f"Run {outcome.run_id}." if outcome.run_id else ""
    parts = [_describe_failure(outcome), _describe_state(outcome), *said, run]
    return to_one_line(" ".join(parts)) or _SILENT


def to_one_line(text: str) -> str:
    """Replace each sequence of whitespace and control characters by one space."""
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(c if c.isprintable() else " " for c in encodable).split())


def fit_text(text: str, fits: Callable[[str], bool]) -> str:
    """Return the text, or its longest beginning that fits with an ellipsis."""
    if fits(text):
        return text
    short, long = 0, len(text)
    while long - short > 1:
        middle = (short + long) // 2
        if fits(f"{text[:middle]}…"):
            short = middle
        else:
            long = middle
    return f"{text[:short]}…"


def fit_bytes(text: str, most: int) -> str:
    """Return the text, cut to at most ``most`` bytes of UTF-8."""
    return fit_text(text, lambda shown: len(shown.encode()) <= most)


def _describe_failure(report: Report) -> str:
    error = report.error
    if error is None:
        return f"The run ended {report.status}."
    sqlstate = f" ({error.sqlstate})" if error.sqlstate is not None else ""
    if error.migration is not None and report.status is Status.FAILED:
        return f"Migration {error.migration[:_MAX_NAME]} failed{sqlstate}."
    return f"The run failed{sqlstate}." if sqlstate else ""


def _describe_state(report: Report) -> str:
    """Return the state of the database, unless the message has it near its beginning."""
    state = None if report.error is None else report.error.state_after
    brief = "" if state is None else describe_briefly(state)
    if state in {StateAfter.UNCHANGED, StateAfter.UNKNOWN}:
        assert report.error is not None
        return "" if len(report.error.message) <= _NEVER_CUT_CHARACTERS else brief
    version = report.to_version if report.to_version is not None else report.from_version
    kept = _count_kept(report.applied, report.reverted)
    has_run = report.error is not None and report.error.migration is not None
    if version is None and kept == 0 and not has_run:
        return ""
    stay = {0: "No migration of this run stays", 1: "1 migration of this run stays"}.get(
        kept, f"{kept} migrations of this run stay"
    )
    at = "has no version" if version is None else f"is at version {version[:_MAX_NAME]}"
    if state is StateAfter.PARTLY_APPLIED:
        return f"{brief} The database {at}."
    return f"{stay}; the database {at}."


def _to_sentence(text: str) -> str:
    """Add a full stop to a hint that ends in a command, to separate it from what follows."""
    return f"{text}." if text and text[-1].isalnum() else text


def _count_kept(applied: tuple[Entry, ...], reverted: tuple[Entry, ...]) -> int:
    undone = {(entry.version, entry.name) for entry in reverted}
    return sum((entry.version, entry.name) not in undone for entry in applied)
