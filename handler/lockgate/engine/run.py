"""The order of work for one request. Knows protocols; knows no AWS, no SQL and no clock of its own.

::

    look at the server, read files meanwhile -> nothing to do? done
               -> `Task`: read what is not known, plan
                          -> lock -> read all and plan again, if somebody had it
                          -> apply segment by segment -> record, unlock
               -> report

Nothing pending takes no lock: the second look happens only where there is work. Nor is what the work
takes imported then: `task` is the one door to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.failure import ConnectionLost
from lockgate.core.lease import LockFreed
from lockgate.core.listing import find_known
from lockgate.core.request import Action, Request
from lockgate.engine.ports import MOST_RECOVERIES
from lockgate.errors import DatabaseUnreachable, LockgateError
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.draft import ReportDraft
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from lockgate.core.listing import Listing
    from lockgate.core.probe import Probe
    from lockgate.engine.ports import Means

# What has nothing to do where files and history agree.
_FOR_PENDING = frozenset({Action.UP, Action.PLAN})
_WITHOUT_FILES = frozenset({Action.UNLOCK, Action.HISTORY})


@dataclass(slots=True)
class Runner:
    """Carries out one request. `run` returns a report, whatever happened to the migrations."""

    means: Means

    def run(self, request: Request) -> Report:
        """Carry out a request and close the connection.

        A failure that has a name is in the report, not raised.
        """
        draft = ReportDraft(self.means.run_id, request, self.means.clock.monotonic)
        try:
            status = self._persist(request, draft)
        except LockgateError as error:
            status = draft.fail(error)
        finally:
            self.means.database.close()
        report = draft.to_report(status, self.means.database.endpoint)
        self._emit_end(report)
        return report

    def _persist(self, request: Request, draft: ReportDraft) -> Status:
        """Carry out, from the start again where the connection breaks before there is a lock."""
        for attempt in range(MOST_RECOVERIES + 1):
            try:
                return self._carry_out_anew(request, draft)
            except ConnectionLost as error:
                self.means.emit("connection_lost", reason=str(error), sqlstate=error.sqlstate)
                draft.trail.note_lost_connection()
                self.means.database.close()
                if attempt == MOST_RECOVERIES or self.means.deadline.is_over:
                    raise DatabaseUnreachable(
                        f"The connection broke {attempt + 1} times: {error}.",
                        hint="Invoke again.",
                    ) from error
        raise AssertionError("unreachable")

    def _carry_out_anew(self, request: Request, draft: ReportDraft) -> Status:
        """Carry out, and again where another run held the lock and may have done the work."""
        while True:
            try:
                return self._carry_out(request, draft)
            except LockFreed:
                draft.holder = None

    def _carry_out(self, request: Request, draft: ReportDraft) -> Status:
        probe, listing = self._look(request, draft)
        draft.probe = probe
        known = None
        if listing is not None and _is_whole(request):
            known = find_known(listing, probe)
        is_settled = listing is not None and known == listing.versioned
        if listing is not None and is_settled:
            draft.settle(listing.version(known - 1) if known else None)
            if not probe.is_held:
                return Status.UP_TO_DATE
            draft.listing, draft.catalog = None, self.means.read_catalog(listing, 0)
        from lockgate.engine.task import Task

        task = Task(self.means, request, draft, probe)
        return task.tidy() if is_settled else task.carry_out(listing, known)

    def _look(self, request: Request, draft: ReportDraft) -> tuple[Probe, Listing | None]:
        """Look at the server, and read the files while it works; a new session needs its time.

        A folder that is not there is not worth a database's waking up; what is wrong with files is told
        rather than that the database could not be had, and is looked for only then.
        """
        if request.action in _WITHOUT_FILES:
            with draft.phase("connect"):
                return self.means.database.probe(), None
        listing, is_connected = None, False

        def read_files() -> None:
            nonlocal listing, is_connected
            is_connected = True
            with draft.phase("read_files"):
                listing = self.means.list_folder()

        self.means.require_folder()
        with draft.phase("connect"):
            try:
                probe = self.means.database.probe(read_files)
            except LockgateError:
                if not is_connected:
                    self.means.list_folder()
                raise
        return probe, listing

    def _emit_end(self, report: Report) -> None:
        error = report.error
        self.means.emit(
            "run_finished",
            status=report.status,
            action=report.action,
            applied=len(report.applied),
            pending=len(report.pending),
            duration_ms=report.duration_ms,
            error_code=error.code if error else None,
            error=error.message if error else None,
        )


def _is_whole(request: Request) -> bool:
    """Tell whether a request is about whatever is pending, and nothing else."""
    return request.action in _FOR_PENDING and request.target is None and not request.is_down
