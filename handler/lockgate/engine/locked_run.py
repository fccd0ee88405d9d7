"""What a run does and remembers while it holds the lock. Its stages decide what to do."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lockgate.core import events
from lockgate.core.backup import Purpose
from lockgate.core.failure import ConnectionLost
from lockgate.core.history import align_history
from lockgate.core.migration import Direction
from lockgate.core.policy import Rollback
from lockgate.core.undo_facts import UndoFacts
from lockgate.engine.decision import Facts, StageFailure
from lockgate.engine.reader import Reader
from lockgate.errors import LockgateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lockgate.core.catalog import CreatedStub, TableStub
    from lockgate.core.event_log import EventLog
    from lockgate.core.history import StoredScripts
    from lockgate.core.outcome import FinishedMigration
    from lockgate.core.policy import Policy
    from lockgate.core.probe import Probe
    from lockgate.core.segment import Segment
    from lockgate.engine.context import RunContext
    from lockgate.engine.decision import Stage, Work
    from lockgate.engine.dependencies import HeldLock
    from lockgate.report.report import Status


class LockedRun:
    """The work of one run under its lock: plan, apply, amend, and what has to be undone or dropped.

    ``first`` is the stage that the work begins with, and again if its commits may be lost.
    """

    def __init__(
        self, run: RunContext, probe: Probe, lock: HeldLock, policy: Policy, first: Stage
    ) -> None:
        self.run = run
        self.lock = lock
        self.first = first
        self.events = run.dependencies.events
        self.state = run.state
        self._probe = probe
        self._policy = policy
        self._reader = Reader(run.dependencies, run.request)
        # The texts that repeatable migrations had before this run.
        self._former: Mapping[str, StoredScripts] = {}
        # What this run has measured of its own work, for the proof of an undo.
        self._measured: UndoFacts | None = None
        self._was_described = False
        self._stub: CreatedStub | None = None

    def plan(self, stage: Stage) -> Work:
        """Read the history and let a stage plan. Raises what the stage refuses."""
        self.read_history()
        if stage.reloads_undone:
            self.events.add(events.UndoneReloaded())
        work = self._reader.consult(stage.plan(self._facts(), self.run.request, self._policy))
        self._former = {**self._former, **work.former}
        return work

    def _facts(self) -> Facts:
        return Facts(
            self._probe,
            self.state.run_id,
            self.run.dependencies.substitute,
            self.state.catalog,
            self.state.history,
            sent=self.state.sent,
            former=self._former,
            measured=self._measured,
        )

    def read_history(self) -> None:
        """Read the history. If all rows were read, take every file into the catalog as well."""
        needed = self.run.dependencies
        history = needed.database.read_history()
        if history.known_to is None and self.state.unread is not None:
            # Another run had the lock, or a step failed.
            self.events.add(events.FilesRead(needed.read_catalog(self.state.unread, 0)))
        assert self.state.catalog is not None
        aligned = align_history(history, self.state.catalog)
        self.events.add(events.HistoryRead(aligned, is_locked=True))

    def look_again(self) -> None:
        """Read the history once more after a failure that may have left a migration half done."""
        # If it cannot be read, the report claims only what was known before.
        with suppress(ConnectionLost, LockgateError):
            self.read_history()

    def prepare(self, work: Work) -> None:
        """Do what comes before the first change: a stub, a description, a backup."""
        if work.stub is not None:
            self._make_stub(work.stub)
        if work.is_described is not None and work.segments and not self._was_described:
            self._describe(work)
        if work.segments:
            self._back_up(work.segments)

    def _make_stub(self, stub: TableStub) -> None:
        is_first = self.state.sent_work.stub is None
        self.events.add(events.StubSent(stub.table))
        try:
            made = self.lock.create_stub(stub.sql)
        except LockgateError:
            if is_first:
                self.events.add(events.StubGone())
            raise
        if made.tables:
            self._stub = made
        elif is_first:
            self.events.add(events.StubGone())

    def drop_stub(self) -> None:
        """Drop the stub that this run made, if the run failed and nothing is left that needs it."""
        if self._stub is None or not self.state.claim().is_of_stub_alone:
            return
        # If the connection breaks here, `Finish` finds it broken.
        with suppress(ConnectionLost, LockgateError):
            if self.lock.drop_stub(self._stub):
                self.events.add(events.StubGone())

    def _describe(self, work: Work) -> None:
        """Describe the database before the first change, if what follows may have to be undone."""
        self._was_described = True
        if not work.is_described:
            return
        with self.events.phase("describe"):
            before = self.lock.describe()
        self._measured = None if before is None else UndoFacts(before)

    def _back_up(self, segments: tuple[Segment, ...]) -> None:
        """Have a backup made before the first change; an empty database needs none."""
        needed = self.run.dependencies
        endpoint = needed.database.endpoint
        if self._policy.is_fresh or endpoint is None:
            return
        last, latest = segments[-1].steps[-1], self.state.history.latest
        purpose = Purpose(
            run_id=self.state.run_id,
            endpoint=endpoint,
            version=None if latest is None else str(latest),
            goal=f"{last.direction} {last.migration.migration_id} {last.script.checksum}",
        )
        with self.events.phase("backup"):
            needed.backup.before_change(purpose, _BackupNotes(self.events))

    def apply(self, segment: Segment, work: Work) -> None:
        """Apply one segment.

        Raises:
            StepFailed: it failed; its transaction, if it had one, was rolled back.
            ConnectionLost: whether it was committed is unknown.
        """
        self.events.add(events.SegmentSent(segment))
        with self.events.phase("apply"):
            seen = self.lock.apply(
                segment,
                self._note_done,
                may_lose_rows=work.may_lose_rows,
                collects_facts=self._measured is not None and work.undone is None,
                undone=work.undone,
            )
        if seen is not None and self._measured is not None:
            self._measured.transactions.append(seen)
        self.events.add(events.SegmentDone())

    def _note_done(self, done: FinishedMigration) -> None:
        is_undone = done.direction is Direction.DOWN or done.migration_id in self.state.restored
        self.events.add(events.Undone(done) if is_undone else events.Applied(done))

    def amend(self, work: Work) -> None:
        """Write an amendment."""
        assert work.amendment is not None
        self.events.add(events.AmendmentSent(work.amendment))
        self.lock.amend(work.amendment)

    def doubt_measures(self) -> None:
        """Forget what was measured once something was committed and the connection broke.

        A server that crashed may have lost commits, and give their numbers to others.
        """
        if self._measured is not None and self._measured.transactions:
            self._measured = None

    def store_facts(self) -> None:
        """Keep what the run did where an older package may have to undo it."""
        is_kept = self._policy.rollback is Rollback.DEPLOY and self.state.done
        if is_kept and self._measured is not None and self._measured.transactions:
            # Without them, an older package does not undo this run. `Finish` finds a broken connection.
            with suppress(ConnectionLost, LockgateError):
                self.lock.store_undo_facts(self._measured.to_json())

    def follow_error(self, stage: Stage, error: LockgateError) -> Stage | Status:
        """Return what follows a stage that failed, or raise the error that the run ends with."""
        failure = StageFailure(error, self.state, self._policy.rollback, self.run.is_over)
        return self._reader.consult(stage.after_failure(failure))

    def pass_on_notes(self) -> None:
        """Pass on what the work found or left behind."""
        for text in self.lock.notes:
            if text not in self.state.warnings:
                self.events.add(events.Warned(text))


class _BackupNotes:
    """Takes what a backup reports about itself, and records it as events."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._backup: dict[str, Any] | None = None

    @property
    def backup(self) -> dict[str, Any] | None:
        """What there is to go back to."""
        return self._backup

    @backup.setter
    def backup(self, value: dict[str, Any] | None) -> None:
        self._backup = value
        if value is not None:
            self._log.add(events.BackedUp(value))

    def warn(self, text: str) -> None:
        """Record a warning."""
        self._log.add(events.Warned(text))
