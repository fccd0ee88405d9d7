"""The story of one request, step by step, and the one loop that goes from step to step.

::

    Look            look at the server and read the files        look.py
      │               └─ nothing to do, the lock is free: end
    Decide          let the command decide                       before_lock.py, commands/
      │               └─ nothing to do, refused, only shown: end
    TakeLock        wait for the lock                            before_lock.py, lock_wait.py
      │
    PlanStage       read the history, let the command plan       under_lock.py, commands/
      │
    ApplySegments   apply the plan, one transaction at a time    under_lock.py, locked_run.py
      │
    Finish          record the end and release the lock          under_lock.py

Each step returns the next one, and the last one a status. A broken connection, a failed migration or
the deadline interrupts a step. Then `retry` decides what follows, and `interruptions` does it. The
report is made from the events that the steps add.

`Look` imports the other steps, and only if it is not the last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core import events
from lockgate.core.failure import ConnectionLost, OutOfTime, StepFailed
from lockgate.core.run_state import RunState
from lockgate.engine.context import RunContext
from lockgate.engine.interruptions import follow_failure, follow_loss, stop
from lockgate.engine.look import Look
from lockgate.errors import LockgateError
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.make_report import make_report
from lockgate.report.refusal import status_of
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from lockgate.core.request import Request
    from lockgate.engine.dependencies import RunDependencies
    from lockgate.engine.run_step import Following


@dataclass(slots=True)
class Runner:
    """Carries out one request. `run` returns a report, whatever happened to the migrations."""

    dependencies: RunDependencies

    def run(self, request: Request) -> Report:
        """Carry out a request and close the connection.

        A `LockgateError` is in the report, not raised.
        """
        needed, log = self.dependencies, self.dependencies.events
        state = RunState(needed.run_id, request)
        log.listen(state.note)
        now = needed.clock.monotonic()
        log.add(events.RunStarted(needed.run_id, request, now, needed.address))
        try:
            status = _carry_out(RunContext(needed, request, state))
        except LockgateError as error:
            log.add(events.Failed(error))
            status = status_of(error)
        finally:
            needed.database.close()
        report = make_report(log, status, needed.database.endpoint)
        log.add(_make_end(report))
        return report


def _carry_out(run: RunContext) -> Status:
    """Go from step to step until there is a status.

    Raises:
        LockgateError: the run failed or was refused before it had the lock.
    """
    following: Following = None
    while not isinstance(following, Status):
        step = following or Look(run)
        try:
            following = stop(run, step) if step.starts_work and run.is_over else step.do()
        except ConnectionLost as error:
            following = follow_loss(run, step, error)
        except OutOfTime as error:
            following = stop(run, step, error.failure)
        except StepFailed as error:
            following = follow_failure(run, step, error.failure)
        except LockgateError as error:
            following = step.fail(error)
    return following


def _make_end(report: Report) -> events.RunFinished:
    error = report.error
    return events.RunFinished(
        status=report.status,
        action=report.action,
        applied=len(report.applied),
        pending=len(report.pending),
        duration_ms=report.duration_ms,
        error_code=error.code if error else None,
        error=error.message if error else None,
    )
