"""Applying one segment, whose migrations may share a transaction. Retries nothing."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lockgate.core.analysis import Unit
from lockgate.core.failure import OutOfTime, StepFailed
from lockgate.core.migration import Direction, Language
from lockgate.core.segment import note_sharing
from lockgate.core.sqlstate import WAITED
from lockgate.core.transaction_mode import Mode, UnitMode
from lockgate.errors import LockgateError
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.apply.batch_rows import BatchRows
from lockgate.postgres.apply.python_step import run_python
from lockgate.postgres.apply.replay import find_culprit
from lockgate.postgres.apply.segment_message import (
    add_batch,
    add_check,
    add_complete_script,
    add_row,
    close_segment,
    is_many,
    make_batches,
    may_share_message,
    open_segment,
    write_first,
)
from lockgate.postgres.apply.unit_span import unit_span
from lockgate.postgres.server.message import MessagePart, MessageWriter
from lockgate.postgres.tables.history_sql import records_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.core.failure import Failure
    from lockgate.core.outcome import FinishedMigration
    from lockgate.core.segment import Segment, Step
    from lockgate.postgres.apply.guard import Guard
    from lockgate.postgres.apply.session import Session

# Another session was blocking, or the statement was cancelled: running it again would prove nothing.
_TRANSIENT = WAITED | {"40001", "53200", "55006"}


@dataclass(frozen=True, slots=True)
class Executor:
    """Applies segments over the session of a run."""

    session: Session
    on_applied: Callable[[FinishedMigration], None]

    def apply(self, segment: Segment) -> None:
        """Apply a segment, and call `on_applied` for each migration that is committed.

        Raises:
            StepFailed: a migration failed. A shared segment is rolled back as a whole. Finished
                statements outside a transaction remain, and the history has their number.
            OutcomeUnknown: it cannot be determined whether a statement outside a transaction was done.
            LockLost: another run has the lock now; the transaction was rolled back.
            OutOfTime: the deadline passed between two statements outside a transaction.
            ConnectionLost: the outcome is unknown.
        """
        memo = self._copy_memo(segment)
        try:
            if segment.mode is Mode.SHARED:
                done = self._apply_shared(segment)
            else:
                done = _apply_units(self.session, segment.steps[0])
        except (StepFailed, LockgateError, OutOfTime) as error:
            self.session.roll_back()
            if memo is not None:
                self.session.memo.clear()
                self.session.memo.update(memo)
            if isinstance(error, StepFailed):
                self._tell(error.failure)
            if isinstance(error, StepFailed) and len(segment.steps) > 1:
                raise StepFailed(self._blame(segment, error.failure)) from error
            raise
        for one in done:
            self.on_applied(one)

    def _copy_memo(self, segment: Segment) -> dict[str, Any] | None:
        """Return what Alembic remembers now, to restore if the segment is rolled back.

        A named type that a rolled-back revision created must be created again. Only Python steps add to
        the memo, so segments without any return ``None``.
        """
        if any(step.script.language is Language.PYTHON for step in segment.steps):
            return copy.deepcopy(self.session.memo)
        return None

    def _tell(self, failure: Failure) -> None:
        """Show in the terminal the details of a failure that reports leave out."""
        if self.session.tell is not None:
            for word, text in failure.terminal_only:
                self.session.tell(word, text)

    def _blame(self, segment: Segment, failure: Failure) -> Failure:
        """Return the failure of a shared segment, with the migration at fault if it can be found."""
        # The rows of many migrations are written together, after scripts of others.
        is_open = failure.is_of_all or (failure.is_own and is_many(segment))
        if is_open and failure.sqlstate not in _TRANSIENT:
            labels = tuple(step.migration.label for step in segment.steps)
            found = find_culprit(self.session, segment, is_own=failure.is_own)
            failure = found or replace(failure, together=labels, file=None)
        return note_sharing(segment, failure)

    def _apply_shared(self, segment: Segment) -> list[FinishedMigration]:
        """Apply migrations in one transaction, in as few messages as possible."""
        writer = write_first(self.session, segment)
        if self.session.guard is not None:
            writer = MessageWriter()
            done = self._apply_guarded(self.session.guard, segment)
            close_segment(self.session, writer, segment)
        elif is_many(segment):
            done, writer = self._apply_many(segment, writer)
            close_segment(self.session, writer, segment)
        elif writer is not None:
            done = []
        else:
            writer = MessageWriter()
            open_segment(self.session, writer, segment)
            done = self._add_bodies(writer, segment)
            close_segment(self.session, writer, segment)
        return _separate_durations(done + self.session.send(writer).done)

    def _apply_guarded(self, guard: Guard, segment: Segment) -> list[FinishedMigration]:
        """Run everything except the commit, under the guard."""
        done: list[FinishedMigration] = []

        def begin() -> None:
            writer = MessageWriter()
            open_segment(self.session, writer, segment)
            self.session.flush(writer)

        def work() -> None:
            writer = MessageWriter()
            done[:] = self._add_bodies(writer, segment)
            done.extend(self.session.flush(writer))

        guard.watch(segment.steps[0].migration.label, begin, work)
        return done

    def _apply_many(
        self, segment: Segment, first: MessageWriter | None
    ) -> tuple[list[FinishedMigration], MessageWriter]:
        """Run all scripts; return what is recorded, and the message with the last rows.

        The rows for the migrations of a message are at the end of the next message::

            script 1 … 100, the times  |  script 101 … 200, the times, 100 rows  |  100 rows, COMMIT
        """
        rows = BatchRows(self.session.stamp)
        done: list[FinishedMigration] = []
        writer = first or MessageWriter()
        batches = make_batches(segment.steps)
        if first is None:
            open_segment(self.session, writer, segment)
            done += self._add_batch(writer, segment, batches[0], rows, is_first=True)
        for batch, following in zip(batches, [*batches[1:], []], strict=True):
            upcoming = MessageWriter()
            answer = self.session.send(writer, partial(rows.prepare, batch))
            rows.set_end_times(answer.end_times)
            done += answer.done
            if following:
                done += self._add_batch(upcoming, segment, following, rows, is_first=False)
            record = records_sql(
                self.session.tables,
                rows.take_finished(),
                is_new=all(step.row is None for step in segment.steps),
            )
            upcoming.add(MessagePart.RECORD, record, migration=batch[-1].migration)
            writer = upcoming
        return done, writer

    def _add_batch(
        self,
        writer: MessageWriter,
        segment: Segment,
        batch: Sequence[Step],
        rows: BatchRows,
        *,
        is_first: bool,
    ) -> list[FinishedMigration]:
        """Add scripts; run those now that cannot share a message."""
        done: list[FinishedMigration] = []

        def send() -> list[FinishedMigration]:
            rows.prepare(batch)
            answer = self.session.send(writer)
            rows.set_end_times(answer.end_times)
            done.extend(answer.done)
            return answer.done

        def add_body(writer: MessageWriter, step: Step) -> None:
            self._add_body(writer, step, send)

        add_batch(self.session, writer, segment, batch, is_first=is_first, add_body=add_body)
        return done

    def _add_bodies(self, writer: MessageWriter, segment: Segment) -> list[FinishedMigration]:
        done: list[FinishedMigration] = []
        previous: str | None = None
        for step in segment.steps:
            if previous is not None:
                self.session.prepare(writer, step, is_checked=segment.checks)
            done += self._add_body(writer, step, partial(self.session.flush, writer))
            add_check(writer, segment, step)
            add_row(self.session, writer, step, previous)
            previous = step.migration.migration_id
            if writer.is_full:
                done += self.session.flush(writer)
        return done

    def _add_body(
        self, writer: MessageWriter, step: Step, send: Callable[[], list[FinishedMigration]]
    ) -> list[FinishedMigration]:
        """Add a script to the message, or run it now if it cannot share a message."""
        script, statements = step.script, step.analysis.statements
        if may_share_message(step):
            add_complete_script(writer, step)
            return []
        if script.language is Language.PYTHON:
            done = send()
            run_python(
                self.session.connection,
                step.migration,
                script,
                step.direction,
                in_transaction=True,
                memo=self.session.memo,
            )
            return done
        # The server parses a whole message with the settings before it, so send each statement alone.
        done = []
        for index, statement in enumerate(statements):
            span = unit_span(step, Unit(UnitMode.WRAPPED, index, index))
            writer.add_script(step.migration, script, (statement,), span, index)
            done += send()
        return done


def _apply_units(session: Session, step: Step) -> list[FinishedMigration]:
    """Import and use `UnitRunner`. A door, because it has most of the code of this package."""
    from lockgate.postgres.apply.units import UnitRunner  # most runs only have shared transactions

    return UnitRunner.of(session, step).apply()


def _separate_durations(done: list[FinishedMigration]) -> list[FinishedMigration]:
    """Return reverted migrations of one transaction with a separate duration each.

    The server counts all of them from the start of the transaction.
    """
    if all(one.direction is Direction.UP for one in done):
        return done
    pairs = pairwise(done)
    own = [(now, (now.applied_at - before.applied_at).total_seconds()) for before, now in pairs]
    return [*done[:1], *(replace(one, duration_ms=round(1000 * took)) for one, took in own)]
