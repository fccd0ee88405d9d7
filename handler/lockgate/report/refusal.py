"""The report of a request that never reached the engine, or fell out of it."""

from __future__ import annotations

from lockgate.core.state_after import StateClaim, make_unknown
from lockgate.errors import (
    DatabaseBusy,
    DriftDetected,
    LockgateError,
    OutcomeUnknown,
    RequestRefused,
    RunIncomplete,
)
from lockgate.report.entry import error_info
from lockgate.report.report import Report, Status

_STATUS_OF: tuple[tuple[type[LockgateError], Status], ...] = (
    (RequestRefused, Status.REFUSED),
    (DriftDetected, Status.REFUSED),
    (DatabaseBusy, Status.BUSY),
    (RunIncomplete, Status.INCOMPLETE),
)


def refuse_report(run_id: str, error: LockgateError, claim: StateClaim) -> Report:
    """Return the report of a request that never reached a runner, or fell out of it.

    ``claim`` is what is known of the database all the same.
    """
    info = error_info(error, claim)
    return Report(
        status=status_of(error),
        action=None,
        run_id=run_id,
        error=info,
        next_action=info.hint,
    )


def status_of(error: LockgateError) -> Status:
    """Return the status that an error gives a run."""
    return next((status for cls, status in _STATUS_OF if isinstance(error, cls)), Status.FAILED)


def claim_of(report: Report) -> StateClaim:
    """Return what a report says of the database, for an error that takes the place of its own."""
    error = report.error
    if error is None:
        return make_unknown("the run ended, and how was not told")
    undone = tuple(entry.version or entry.name for entry in report.reverted)
    return StateClaim(
        error.state_after,
        error.state_evidence,
        kept=tuple(entry.version or entry.name for entry in report.applied),
        undone=undone,
        in_part=error.migration,
        is_outcome_unknown=error.code == OutcomeUnknown.code,
        action=report.action,
        reason="the run itself could not know it",
    )
