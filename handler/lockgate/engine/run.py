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

from lockgate.core import events
from lockgate.core.failure import ConnectionLost
from lockgate.core.lease import LockFreed
from lockgate.core.listing import find_known
from lockgate.core.request import Action, Request
from lockgate.core.run_state import RunState
from lockgate.engine.ports import MOST_RECOVERIES
from lockgate.errors import DatabaseUnreachable, LockgateError
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.make_report import make_report
from lockgate.report.refusal import status_of
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
        log, state = self.means.events, RunState(self.means.run_id, request)
        log.listen(state.note)
        log.add(events.RunStarted(self.means.run_id, request, self.means.clock.monotonic()))
        try:
            status = self._persist(request, state)
        except LockgateError as error:
            log.add(events.Failed(error))
            status = status_of(error)
        finally:
            self.means.database.close()
        report = make_report(log, status, self.means.database.endpoint)
        self._note_end(report)
        return report

    def _persist(self, request: Request, state: RunState) -> Status:
        """Carry out, from the start again where the connection breaks before there is a lock."""
        for attempt in range(MOST_RECOVERIES + 1):
            try:
                return self._carry_out_anew(request, state)
            except ConnectionLost as error:
                self.means.events.add(
                    events.ConnectionBroke(str(error), error.sqlstate), events.AnswerLost()
                )
                self.means.database.close()
                if attempt == MOST_RECOVERIES or self.means.deadline.is_over:
                    raise DatabaseUnreachable(
                        f"The connection broke {attempt + 1} times: {error}.",
                        hint="Invoke again.",
                    ) from error
        raise AssertionError("unreachable")

    def _carry_out_anew(self, request: Request, state: RunState) -> Status:
        """Carry out, and again where another run held the lock and may have done the work."""
        while True:
            try:
                return self._carry_out(request, state)
            except LockFreed:
                self.means.events.add(events.HolderSeen(None))

    def _carry_out(self, request: Request, state: RunState) -> Status:
        probe, listing = self._look(request)
        self.means.events.add(events.ServerSeen(probe, self.means.database.endpoint))
        known = None
        if listing is not None and _is_whole(request):
            known = find_known(listing, probe)
        is_settled = listing is not None and known == listing.versioned
        if listing is not None and is_settled:
            version = listing.version(known - 1) if known else None
            self.means.events.add(events.Settled(version))
            if not probe.is_held:
                return Status.UP_TO_DATE
            self.means.events.add(events.FilesRead(self.means.read_catalog(listing, 0)))
        from lockgate.engine.task import Task

        task = Task(self.means, request, state, probe)
        return task.tidy() if is_settled else task.carry_out(listing, known)

    def _look(self, request: Request) -> tuple[Probe, Listing | None]:
        """Look at the server, and read the files while it works; a new session needs its time.

        A folder that is not there is not worth a database's waking up; what is wrong with files is told
        rather than that the database could not be had, and is looked for only then.
        """
        if request.action in _WITHOUT_FILES:
            with self.means.events.phase("connect"):
                return self.means.database.probe(), None
        listing, is_connected = None, False

        def read_files() -> None:
            nonlocal listing, is_connected
            is_connected = True
            with self.means.events.phase("read_files"):
                listing = self.means.list_folder()

        self.means.require_folder()
        with self.means.events.phase("connect"):
            try:
                probe = self.means.database.probe(read_files)
            except LockgateError:
                if not is_connected:
                    self.means.list_folder()
                raise
        return probe, listing

    def _note_end(self, report: Report) -> None:
        error = report.error
        self.means.events.add(
            events.RunFinished(
                status=report.status,
                action=report.action,
                applied=len(report.applied),
                pending=len(report.pending),
                duration_ms=report.duration_ms,
                error_code=error.code if error else None,
                error=error.message if error else None,
            )
        )


def _is_whole(request: Request) -> bool:
    """Tell whether a request is about whatever is pending, and nothing else."""
    return request.action in _FOR_PENDING and request.target is None and not request.is_down
