"""Applying a migration outside a shared transaction, unit by unit, so that it can be resumed.

A unit that runs in a transaction is recorded in the same transaction; any other is a `LoneStatement`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from lockgate.core.analysis import Unit
from lockgate.core.failure import OutOfTime, StepFailed
from lockgate.core.migration import Direction, Language
from lockgate.core.refusal import make_unknown
from lockgate.core.resumption import begun_state, find_begun, has_verify
from lockgate.core.token_checksum import TokenDigest
from lockgate.core.transaction_mode import UnitMode
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.apply.data_loss_guard import refuse_unguarded
from lockgate.postgres.apply.lone_statement import LoneStatement, with_unknown_commit
from lockgate.postgres.apply.python_step import run_python, verify_python
from lockgate.postgres.apply.script_session import ScriptSession
from lockgate.postgres.apply.session_sql import BEGIN, COMMIT
from lockgate.postgres.apply.step_record import StepRecord
from lockgate.postgres.apply.unit_span import unit_span
from lockgate.postgres.server.message import MessagePart, MessageWriter
from lockgate.postgres.tables.history_row import MigrationProgress

if TYPE_CHECKING:
    from lockgate.core.outcome import FinishedMigration
    from lockgate.core.segment import Step
    from lockgate.postgres.apply.guard import Guard
    from lockgate.postgres.apply.session import Session


@dataclass(frozen=True, slots=True)
class UnitRunner:
    """Applies one migration outside a shared transaction."""

    session: Session
    step: Step
    script_session: ScriptSession
    record: StepRecord

    @classmethod
    def of(cls, session: Session, step: Step) -> Self:
        """Return the runner for a step."""
        script_session = ScriptSession.of(session, step)
        digest = TokenDigest(step.script.sql)
        return cls(session, step, script_session, StepRecord(session, step, script_session, digest))

    def apply(self) -> list[FinishedMigration]:
        """Apply the units that are not done yet; return the migration when it is complete.

        Raises what `Executor.apply` does.
        """
        if not self.session.is_borrowed:
            self._send_prelude()
        if self.step.script.language is Language.PYTHON:
            return self._apply_python()
        start = self._resume()
        done: list[FinishedMigration] = []
        for unit in self.step.analysis.units:
            if unit.first < start:
                continue
            self.script_session.expect(unit)
            if unit.mode is UnitMode.SESSION:
                self._send_alone(unit)
                continue
            if self.session.deadline.is_over:
                raise OutOfTime
            done = self._apply_unit(unit)
        return done or self.record.write(self.record.complete())

    def _resume(self) -> int:
        """Restore the session state of the finished part; return the first statement to run.

        Raises:
            OutcomeUnknown: the session state cannot be restored.
        """
        row = find_begun(self.step)
        if row is None or row.statements_done == 0:
            return 0
        for unit in self.step.analysis.units:
            if unit.mode is UnitMode.SESSION and unit.first < row.statements_done:
                self._send_alone(unit)
        if row.statements_done < len(self.step.analysis.statements):
            self.script_session.check(row)
        return row.statements_done

    def _apply_unit(self, unit: Unit) -> list[FinishedMigration]:
        if unit.mode is UnitMode.ALONE:
            return LoneStatement.of(self.session, self.step, self.record, unit).apply()
        if self.session.guard is not None:
            return self._apply_guarded(self.session.guard, unit)
        writer = MessageWriter()
        if unit.mode is UnitMode.WRAPPED:
            writer.add(MessagePart.CONTROL, BEGIN)
            self._add_script(writer, unit.first, unit.last + 1)
        else:
            self._add_begin(writer, unit)
            self._add_script(writer, unit.first + 1, unit.last)
        self._add_end(writer, unit)
        return self.session.flush(writer)

    def _apply_guarded(self, guard: Guard, unit: Unit) -> list[FinishedMigration]:
        """Run a unit except its commit, under the guard."""
        is_block = unit.mode is UnitMode.BLOCK

        def begin() -> None:
            writer = MessageWriter()
            if is_block:
                self._add_begin(writer, unit)
            else:
                writer.add(MessagePart.CONTROL, BEGIN)
            self.session.flush(writer)

        def work() -> None:
            writer = MessageWriter()
            self._add_script(writer, unit.first + is_block, unit.last + (not is_block))
            self.session.flush(writer)

        guard.watch(self.step.migration.label, begin, work)
        writer = MessageWriter()
        self._add_end(writer, unit)
        return self.session.flush(writer)

    def _add_begin(self, writer: MessageWriter, unit: Unit) -> None:
        """Add the script's own BEGIN, followed by what a borrowed session needs."""
        self._add_script(writer, unit.first, unit.first + 1)
        if self.session.is_borrowed:
            self.session.prepare(writer, self.step)

    def _add_end(self, writer: MessageWriter, unit: Unit) -> None:
        """Add the row of a unit and then the commit, which may be the script's own."""
        progress = self.record.after(unit)
        if unit.mode is not UnitMode.BLOCK:
            self.record.add(writer, progress)
            writer.add(MessagePart.CONTROL, COMMIT)
            return
        self.record.add(writer, progress, in_block=True)
        self._add_script(writer, unit.last, unit.last + 1)
        self.record.add_session(writer, progress)

    def _apply_python(self) -> list[FinishedMigration]:
        migration, row, script = self.step.migration, find_begun(self.step), self.step.script
        connection, direction = self.session.connection, self.step.direction
        if self.session.guard is not None:
            raise refuse_unguarded(migration.label, "a Python function outside a transaction")
        if row is not None and row.attempting is not None:
            if not has_verify(script):
                raise make_unknown(self.step)
            # `verify` returns whether `up` is applied, so after a complete `down` it returns False.
            if verify_python(connection, migration) is (direction is Direction.UP):
                return self.record.write(self.record.complete())
        self.record.write(MigrationProgress(begun_state(direction), 0, 1, attempting=1))
        # If it fails, it stays recorded as begun: it may have committed a part.
        memo = self.session.memo
        try:
            run_python(connection, migration, script, direction, in_transaction=False, memo=memo)
        except StepFailed as error:
            if not has_verify(script):
                raise with_unknown_commit(error, migration) from error
            raise
        return self.record.write(self.record.complete())

    # Messages.

    def _send_prelude(self) -> None:
        writer = MessageWriter()
        self.session.prepare_alone(writer, self.step)
        self.session.flush(writer)

    def _send_alone(self, unit: Unit) -> None:
        writer = MessageWriter()
        self._add_script(writer, unit.first, unit.last + 1)
        self.session.flush(writer)

    def _add_script(self, writer: MessageWriter, first: int, end: int) -> None:
        """Add the statements from ``first`` to before ``end``, with the comments between them."""
        statements = self.step.analysis.statements
        if first == end:
            return
        start = statements[first].start
        stop = unit_span(self.step, Unit(UnitMode.WRAPPED, first, end - 1))[1]
        script = self.step.script
        writer.add_script(self.step.migration, script, statements[first:end], (start, stop), first)
