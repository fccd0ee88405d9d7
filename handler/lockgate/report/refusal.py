"""The report of a request that did not reach the engine, or left it with an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.address import Address
from lockgate.errors import (
    DatabaseBusy,
    DriftDetected,
    LockgateError,
    RequestRefused,
    RunIncomplete,
)
from lockgate.report.entry import error_info
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from lockgate.core.state_after import StateClaim

_TERMINAL = Address()
_STATUS_OF: tuple[tuple[type[LockgateError], Status], ...] = (
    (RequestRefused, Status.REFUSED),
    (DriftDetected, Status.REFUSED),
    (DatabaseBusy, Status.BUSY),
    (RunIncomplete, Status.INCOMPLETE),
)


def refuse_report(
    run_id: str, error: LockgateError, claim: StateClaim, address: Address = _TERMINAL
) -> Report:
    """Return the report of a request that did not reach the engine, or left it with an exception.

    ``claim`` is what is known about the database.
    """
    info = error_info(error, claim, address)
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
