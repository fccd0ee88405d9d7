"""Carrying out one segment. Knows transactions shared by migrations; retries nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from lockgate.core.analysis import Mode, Unit, UnitMode
from lockgate.core.failure import OutOfTime, StepFailed
from lockgate.core.history import State
from lockgate.core.migration import Direction, Language
from lockgate.core.token_checksum import find_token_checksum
from lockgate.errors import LockgateError
from lockgate.postgres.history_table import Ended, Progress, records_sql
from lockgate.postgres.message import MessageWriter, Part
from lockgate.postgres.python_step import run_python
from lockgate.postgres.session import BEGIN, COMMIT, Session
from lockgate.postgres.units import UnitRunner, unit_span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lockgate.core.migration import Migration
    from lockgate.core.outcome import Done
    from lockgate.core.segment import Segment, Step
    from lockgate.postgres.loss import LossGuard
    from lockgate.postgres.session import Mark

# The last commit of a run, which frees the lock, is synchronous and flushes all that came before.
_COMMIT_LATER = "SET LOCAL synchronous_commit = off"


@dataclass(frozen=True, slots=True)
class Executor:
    """Applies segments over a run's session."""

    session: Session
    on_applied: Callable[[Done], None]

    def apply(self, segment: Segment) -> None:
        """Apply a segment; tell `on_applied` of each migration that is in the database for good.

        Raises:
            StepFailed: a migration failed. Of a shared segment nothing remains; of statements
                outside a transaction those before it do, and the history says how many.
            OutcomeUnknown: nobody can tell whether a statement outside a transaction was done.
            LockLost: another run has the lock now; the transaction was rolled back.
            OutOfTime: the deadline came between two statements outside a transaction.
            ConnectionLost: the outcome is not known.
        """
        memo = copy.deepcopy(self.session.memo)
        try:
            if segment.mode is Mode.SHARED:
                done = self._apply_shared(segment)
            else:
                done = UnitRunner(self.session, segment.steps[0]).apply()
        except (StepFailed, LockgateError, OutOfTime):
            self.session.roll_back()
            self.session.memo.clear()
            self.session.memo.update(memo)
            raise
        for one in done:
            self.on_applied(one)

    def _apply_shared(self, segment: Segment) -> list[Done]:
        """Apply many migrations in one transaction, in as few messages as they fit."""
        writer = MessageWriter()
        if self.session.guard is not None:
            done = self._apply_guarded(self.session.guard, segment)
        elif len(segment.steps) > 1 and all(s.direction is Direction.UP for s in segment.steps):
            self._open(writer, segment)
            done = self._add_many(writer, segment)
        else:
            self._open(writer, segment)
            done = self._add_bodies(writer, segment)
        writer.add(Part.CONTROL, _COMMIT_LATER)
        writer.add(Part.FENCE, self.session.fence())
        writer.add(Part.CONTROL, COMMIT)
        return done + self.session.flush(writer)

    def _open(self, writer: MessageWriter, segment: Segment) -> None:
        # Before the transaction, so that a script may set up its own as its first statement.
        self.session.prepare_alone(writer, segment.steps[0])
        writer.add(Part.CONTROL, BEGIN)

    def _apply_guarded(self, guard: LossGuard, segment: Segment) -> list[Done]:
        """Run everything but the commit, and see to it that no row is lost by that."""
        done: list[Done] = []

        def begin() -> None:
            writer = MessageWriter()
            self._open(writer, segment)
            self.session.flush(writer)

        def work() -> None:
            writer = MessageWriter()
            done[:] = self._add_bodies(writer, segment)
            done.extend(self.session.flush(writer))

        guard.watch(segment.steps[0].migration.label, begin, work)
        return done

    def _add_many(self, writer: MessageWriter, segment: Segment) -> list[Done]:
        """Add scripts; the rows of those that a message brings to their end begin the next message.

        ::

            script 1 … 100, the time behind each  |  100 rows, script 101 … 200, the times  |  100 rows
        """
        stopwatch = Stopwatch(segment)
        behind: Migration | None = None
        done: list[Done] = []
        waiting: list[Step] = []

        def send() -> list[Done]:
            answer = self.session.send(writer, partial(digest, waiting))
            waiting.clear()
            stopwatch.read(answer.marks)
            done.extend(answer.done)
            return answer.done

        for step in segment.steps:
            if step is not segment.steps[0]:
                self.session.prepare(writer, step, behind=behind)
            self._add_body(writer, step, send)
            waiting.append(step)
            behind = step.migration
            if writer.is_full or step is segment.steps[-1]:
                self.session.own_role(writer)
                self.session.mark(writer, behind)
                send()
                records = records_sql(self.session.tables, stopwatch.take(), self.session.stamp)
                writer.add(Part.RECORD, records, migration=behind)
                behind = None
        return done

    def _add_bodies(self, writer: MessageWriter, segment: Segment) -> list[Done]:
        done: list[Done] = []
        previous: str | None = None
        for step in segment.steps:
            if previous is not None:
                self.session.prepare(writer, step)
            done += self._add_body(writer, step, partial(self.session.flush, writer))
            self.session.own_role(writer)
            record = self.session.record(step, whole_progress(step), previous=previous)
            writer.add(Part.RECORD, record, migration=step.migration)
            previous = step.migration.migration_id
            if writer.is_full:
                done += self.session.flush(writer)
        return done

    def _add_body(
        self, writer: MessageWriter, step: Step, send: Callable[[], list[Done]]
    ) -> list[Done]:
        """Add a script to the message, or run it now where it cannot travel with others."""
        script, statements = step.script, step.analysis.statements
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
        if all(statement.standard_conforming_strings for statement in statements):
            writer.add_script(step.migration, script, statements, (0, len(script.sql)))
            return []
        # The server reads a message by the setting before it, so each statement goes alone.
        done = []
        for index, statement in enumerate(statements):
            span = unit_span(step, Unit(UnitMode.WRAPPED, index, index))
            writer.add_script(step.migration, script, (statement,), span, index)
            done += send()
        return done


def digest(steps: Sequence[Step]) -> None:
    """Digest the tokens of scripts, which takes a while, before their rows are written."""
    for step in steps:
        if step.script.language is Language.SQL:
            find_token_checksum(step.script.text)


class Stopwatch:
    """Turns the times at which migrations ended into what is recorded of them."""

    def __init__(self, segment: Segment) -> None:
        self._steps = {step.migration.migration_id: step for step in segment.steps}
        self._begun = Decimal()
        self._ended: list[Ended] = []

    def read(self, marks: Sequence[Mark]) -> None:
        """Note when migrations ended; a mark of none tells when the next could begin."""
        for mark in marks:
            if mark.migration is not None:
                step = self._steps[mark.migration.migration_id]
                duration_ms = max(0, round((mark.epoch - self._begun) * 1000))
                self._ended.append(
                    Ended(mark.migration, whole_progress(step), mark.epoch, duration_ms)
                )
            self._begun = mark.epoch

    def take(self) -> list[Ended]:
        """Return what ended since it was asked last."""
        ended, self._ended = self._ended, []
        return ended


def whole_progress(step: Step) -> Progress:
    """Return the progress of a script that ran to its end."""
    total = max(1, len(step.analysis.statements))
    state = State.APPLIED if step.direction is Direction.UP else State.REVERTING
    return Progress(state, total, total)
