"""What `baseline`, `adopt` and `repair` have in common: they change the history and run no migration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.events import AmendmentPlanned
from lockgate.engine.decision import Conclude, Work, WorkUnderLock
from lockgate.fast_start.dataclass import dataclass
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from lockgate.core.amendment import Amendment
    from lockgate.core.events import Event
    from lockgate.core.policy import Policy
    from lockgate.core.request import Request
    from lockgate.core.run_state import RunState
    from lockgate.engine.decision import Ask, Decision, Facts, Stage, StageFailure

    # Decides what to write, from the history read under the lock.
    MakeAmendment = Callable[[Facts, Request], Generator[Ask | Event, Any, Amendment]]


def decide_amendment(
    make: MakeAmendment, facts: Facts, request: Request
) -> Generator[Ask | Event, Any, Decision]:
    """Show what would be written, and write it under the lock unless it is only to be shown.

    Raises:
        AmendmentRefused: it does not fit the history or the files.
    """
    amendment = yield from make(facts, request)
    yield AmendmentPlanned(amendment)
    if amendment.is_empty:
        return Conclude(Status.UP_TO_DATE)
    if request.dry_run:
        return Conclude(Status.PLANNED)
    return WorkUnderLock(WriteAmendment(make))


@dataclass(frozen=True, slots=True)
class WriteAmendment:
    """Decide once more, under the lock, and write it."""

    make: MakeAmendment
    reloads_undone: bool = False
    keeps_facts: bool = False

    def plan(
        self, facts: Facts, request: Request, _policy: Policy
    ) -> Generator[Ask | Event, Any, Work]:
        """Return what to write; nothing if this run has written it and only the answer was lost."""
        sent = facts.sent
        if sent is not None and sent.is_written(facts.history, facts.run_id):
            return Work(concluding=(AmendmentPlanned(sent),))
        amendment = yield from self.make(facts, request)
        planned = (AmendmentPlanned(amendment),)
        if amendment.is_empty:
            return Work(concluding=planned)
        return Work(amendment=amendment, concluding=planned)

    def after_success(self, _state: RunState) -> Stage | Status:
        """End: it is written."""
        return Status.APPLIED

    def after_failure(self, failure: StageFailure) -> Generator[Ask | Event, Any, Stage | Status]:
        """End with the error."""
        yield from ()
        raise failure.error
