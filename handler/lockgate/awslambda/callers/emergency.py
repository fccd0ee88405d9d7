"""Answers for a run that hangs, from a second thread, with what its events show so far.

::

    |------------- work_ms ------------|---- reserve ----|
     run ... ignores the deadline and the cancel ... ^   Lambda kills
                                                     a second thread answers
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lockgate.errors import LockgateError, RunIncomplete
from lockgate.report.make_report import report_so_far

if TYPE_CHECKING:
    from collections.abc import Callable

    from lockgate.awslambda.callers.awaiting import AwaitingCaller
    from lockgate.awslambda.callers.delivery import SingleAnswer
    from lockgate.core.deadline import Deadline
    from lockgate.core.event_log import EventLog
    from lockgate.report.report import Report

# When this share of the reserve is left and the run still hangs, the second thread answers.
_ANSWER_AT_RESERVE_SHARE = 0.3
_WHY = "the run is still at work"


def start_emergency(
    answer_once: SingleAnswer,
    caller: AwaitingCaller,
    deadline: Deadline,
    run_id: str,
    events: EventLog,
    on_end: Callable[[Report, LockgateError | None], object],
) -> threading.Timer:
    """Answer from a second thread if the run hangs until Lambda is about to kill it.

    ``on_end`` is called with the report after it answered, and with the failure if it could not. Cancel
    the returned timer once the answer is given.
    """
    error = RunIncomplete(
        "The run did not stop in time; its session ends with this invocation.",
        hint='Invoke with {"action": "status"} to see the state of the database.',
    )

    def answer() -> None:
        report = report_so_far(events, run_id, error, _WHY)
        mine = caller.make_answer(report)
        try:
            given = answer_once.give(mine)
        except LockgateError as failure:
            on_end(report, failure)
            return
        if given is mine:
            on_end(report, None)

    left_ms = (deadline.remaining_ms() or 0) - deadline.reserve_ms * _ANSWER_AT_RESERVE_SHARE
    timer = threading.Timer(max(0.0, left_ms / 1000), answer)
    timer.daemon = True
    timer.start()
    return timer
