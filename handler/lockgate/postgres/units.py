"""A migration that shares no transaction, unit by unit, each recorded so that it can be resumed.

What takes effect in a transaction is recorded in it. A statement that no transaction may hold is
announced before and recorded after; between the two, only the catalogs know::

    BEGIN; row: attempting 2; COMMIT     CREATE INDEX CONCURRENTLY …     BEGIN; row: done 2; COMMIT
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.analysis import Unit, UnitMode, place_of
from lockgate.core.failure import Failure, OutOfTime, StepFailed, mask
from lockgate.core.history import State
from lockgate.core.migration import Direction, Language
from lockgate.core.refusal import make_unknown
from lockgate.core.resumption import begun_state, find_begun, find_question, has_verify
from lockgate.core.verification import (
    Found,
    Question,
    Verdict,
    Verification,
    decide,
)
from lockgate.postgres.catalogs import Catalogs
from lockgate.postgres.connection import StatementError
from lockgate.postgres.history_table import Progress, forget_sql
from lockgate.postgres.loss import unwatched
from lockgate.postgres.message import MessageWriter, Part
from lockgate.postgres.python_step import run_python, verify_python
from lockgate.postgres.session import BEGIN, COMMIT, Session
from lockgate.value import dataclass

if TYPE_CHECKING:
    from lockgate.core.outcome import Done
    from lockgate.core.segment import Step
    from lockgate.core.token_checksum import TokenDigest
    from lockgate.postgres.guard import Guard

_POLL_SECONDS = 0.2


@dataclass(slots=True)
class UnitRunner:
    """Applies one migration that shares no transaction. ``has_row``: it has written its row already."""

    session: Session
    step: Step
    digest: TokenDigest
    has_row: bool = False

    def apply(self) -> list[Done]:
        """Apply what of the migration is not done yet, and return it once it is whole.

        Raises what `Executor.apply` does.
        """
        if self.step.script.language is Language.PYTHON:
            return self._apply_python()
        row = find_begun(self.step)
        start = 0 if row is None else row.statements_done
        self._send_prelude()
        done: list[Done] = []
        for unit in self.step.analysis.units:
            if unit.mode is UnitMode.SESSION:
                self._send_alone(unit)
            elif unit.first >= start:
                if self.session.deadline.is_over:
                    raise OutOfTime
                done = self._apply_unit(unit)
        return done or self._record(self._whole())

    def _apply_unit(self, unit: Unit) -> list[Done]:
        if unit.mode is UnitMode.ALONE:
            return self._apply_alone(unit)
        if self.session.guard is not None:
            return self._apply_guarded(self.session.guard, unit)
        writer = MessageWriter()
        if unit.mode is UnitMode.WRAPPED:
            writer.add(Part.CONTROL, BEGIN)
            self._add_script(writer, unit.first, unit.last + 1)
            self._add_record(writer, self._after(unit))
            writer.add(Part.CONTROL, COMMIT)
        else:
            # The script's own COMMIT comes after our row.
            self._add_script(writer, unit.first, unit.last)
            self._add_record(writer, self._after(unit))
            self._add_script(writer, unit.last, unit.last + 1)
        return self.session.flush(writer)

    def _apply_guarded(self, guard: Guard, unit: Unit) -> list[Done]:
        """Run a unit but for its commit, and see to it that no row is lost by that."""
        is_block = unit.mode is UnitMode.BLOCK

        def begin() -> None:
            writer = MessageWriter()
            if is_block:
                self._add_script(writer, unit.first, unit.first + 1)
            else:
                writer.add(Part.CONTROL, BEGIN)
            self.session.flush(writer)

        def work() -> None:
            writer = MessageWriter()
            self._add_script(writer, unit.first + is_block, unit.last + (not is_block))
            self.session.flush(writer)

        guard.watch(self.step.migration.label, begin, work)
        writer = MessageWriter()
        self._add_record(writer, self._after(unit))
        if is_block:
            self._add_script(writer, unit.last, unit.last + 1)
        else:
            writer.add(Part.CONTROL, COMMIT)
        return self.session.flush(writer)

    def _apply_alone(self, unit: Unit) -> list[Done]:
        self._refuse_unwatched(unit)
        verification = find_question(self.step, unit.first)
        verdict, found = self._look(verification, unit)
        if verdict is Verdict.DONE:
            return self._record(self._after(unit))
        self._record(self._before(unit, attempting=True, oid=found.oid))
        if verdict is Verdict.FINALIZE:
            self._send_own(
                unit,
                f"ALTER TABLE {verification.table} DETACH PARTITION {verification.name} FINALIZE",
            )
        else:
            self._send_statement(unit, verification)
        return self._record(self._after(unit))

    def _refuse_unwatched(self, unit: Unit) -> None:
        """Refuse what nobody can watch for lost rows: what commits by itself, and DROP DATABASE."""
        words = self.step.analysis.statements[unit.first].words
        is_watched = words[:1] not in {("DO",), ("CALL",)} and words[:2] != ("DROP", "DATABASE")
        if self.session.guard is not None and not is_watched:
            raise unwatched(self.step.migration.label, " ".join(words[:2]))

    def _look(self, verification: Verification, unit: Unit) -> tuple[Verdict, Found]:
        """Ask until the answer is no longer to wait; drop what a broken attempt left."""
        row = self.step.row
        was_begun = row is not None and row.attempting == unit.first + 1
        if verification.question is Question.AUTHOR and not was_begun:
            # The query may be about what the statement is yet to make.
            return Verdict.RUN, Found()
        known_oid = row.attempted_oid if row is not None and was_begun else None
        catalogs = Catalogs(self.session.connection)
        while True:
            found = self._ask(catalogs, verification, unit, known_oid)
            match decide(verification.question, found, was_begun=was_begun):
                case Verdict.WAIT:
                    if self.session.deadline.is_over:
                        raise OutOfTime
                    self.session.clock.sleep(_POLL_SECONDS)
                case Verdict.CLEAN:
                    self._clean(unit, catalogs, verification)
                    return Verdict.RUN, Found()
                case Verdict.CANNOT_KNOW:
                    raise make_unknown(self.step)
                case verdict:
                    return verdict, found

    def _ask(
        self, catalogs: Catalogs, verification: Verification, unit: Unit, known_oid: int | None
    ) -> Found:
        try:
            return catalogs.ask(verification, known_oid)
        except StatementError as error:
            raise self._failed(unit, "its migrate:verify query failed: ", error) from error

    def _clean(self, unit: Unit, catalogs: Catalogs, verification: Verification) -> None:
        for index in catalogs.find_broken(verification):
            self._send_own(unit, f"DROP INDEX CONCURRENTLY IF EXISTS {index}")

    def _send_statement(self, unit: Unit, verification: Verification) -> None:
        """Run the statement; one that failed leaves no broken index.

        Its intent is taken back where a failed one has done nothing. One that may have committed by
        itself before it failed stays as begun, and is not run again on a guess.
        """
        try:
            self._send_alone(unit)
        except StepFailed as error:
            may_have_committed = self._may_have_committed(unit, verification)
            with contextlib.suppress(StatementError, StepFailed):
                if verification.question in {Question.INDEX_BUILT, Question.REINDEXED}:
                    self._clean(unit, Catalogs(self.session.connection), verification)
                if not may_have_committed:
                    self._note_failure(self._before(unit, attempting=False))
            if may_have_committed and verification.question is Question.UNKNOWN:
                raise _without_return(error) from error
            raise

    def _may_have_committed(self, unit: Unit, verification: Verification) -> bool:
        words = self.step.analysis.statements[unit.first].words
        by_itself = words[:1] in {("DO",), ("CALL",)}
        return verification.question is Question.AUTHOR or by_itself

    def _apply_python(self) -> list[Done]:
        migration, row, script = self.step.migration, find_begun(self.step), self.step.script
        connection, direction = self.session.connection, self.step.direction
        if self.session.guard is not None:
            raise unwatched(migration.label, "a Python function outside a transaction")
        self._send_prelude()
        if row is not None and row.attempting is not None:
            if not has_verify(script):
                raise make_unknown(self.step)
            # It tells whether `up` is done; of a `down`, that nothing of it is left.
            if verify_python(connection, migration) is (direction is Direction.UP):
                return self._record(self._whole())
        self._record(Progress(self._begun, 0, 1, attempting=1))
        # One that fails stays as begun: what it has committed until then, nobody knows.
        memo = self.session.memo
        try:
            run_python(connection, migration, script, direction, in_transaction=False, memo=memo)
        except StepFailed as error:
            if not has_verify(script):
                raise _without_return(error) from error
            raise
        return self._record(self._whole())

    # Messages.

    def _send_prelude(self) -> None:
        writer = MessageWriter()
        self.session.prepare_alone(writer, self.step)
        self.session.flush(writer)

    def _send_alone(self, unit: Unit) -> None:
        writer = MessageWriter()
        statement = self.step.analysis.statements[unit.first]
        script = self.step.script
        span = (statement.start, statement.end)
        writer.add_script(self.step.migration, script, (statement,), span, unit.first)
        self.session.flush(writer)

    def _send_own(self, unit: Unit, sql: str) -> None:
        try:
            self.session.connection.send(sql, is_watched=True)
        except StatementError as error:
            raise self._failed(unit, f"{sql}: ", error) from error

    def _record(self, progress: Progress) -> list[Done]:
        writer = MessageWriter()
        writer.add(Part.CONTROL, BEGIN)
        self._add_record(writer, progress)
        writer.add(Part.CONTROL, COMMIT)
        done = self.session.flush(writer)
        is_whole = progress.done == progress.total and progress.attempting is None
        return done if is_whole else []

    def _note_failure(self, progress: Progress) -> None:
        """Record what is done; nothing is remembered of a migration of which nothing is."""
        row = self.step.row
        if self.step.direction is Direction.DOWN and progress.done == 0:
            total = 1 if row is None else row.statements_total
            self._record(Progress(State.APPLIED, total, total))
            return
        if progress.done > 0 or (row is not None and row.state is State.APPLIED):
            self._record(progress)
            return
        writer = MessageWriter()
        writer.add(Part.CONTROL, BEGIN)
        self.session.own_role(writer)
        writer.add(Part.CONTROL, forget_sql(self.session.tables, self.step.migration))
        self.session.add_fence(writer)
        writer.add(Part.CONTROL, COMMIT)
        self.session.flush(writer)

    def _add_record(self, writer: MessageWriter, progress: Progress) -> None:
        migration = self.step.migration
        record = self.session.record(
            self.step, progress, has_scripts=self.has_row, previous=migration.migration_id
        )
        self.has_row = True
        self.session.own_role(writer)
        writer.add(Part.RECORD, record, migration=migration)
        self.session.add_fence(writer)

    def _add_script(self, writer: MessageWriter, first: int, behind: int) -> None:
        """Add the statements from ``first`` up to ``behind``, comments between them included."""
        statements = self.step.analysis.statements
        if first == behind:
            return
        start = statements[first].start
        stop = unit_span(self.step, Unit(UnitMode.WRAPPED, first, behind - 1))[1]
        script = self.step.script
        writer.add_script(
            self.step.migration, script, statements[first:behind], (start, stop), first
        )

    # Values.

    def _before(self, unit: Unit, *, attempting: bool, oid: int | None = None) -> Progress:
        return Progress(
            self._begun,
            unit.first,
            len(self.step.analysis.statements),
            unit.first + 1 if attempting else None,
            self._checksum(unit.first),
            oid,
        )

    def _after(self, unit: Unit) -> Progress:
        if unit is self.step.analysis.last_unit:
            return self._whole()
        done = unit.last + 1
        total = len(self.step.analysis.statements)
        return Progress(
            self._begun,
            done,
            total,
            None,
            self._checksum(done),
        )

    def _checksum(self, count: int) -> str:
        return self.digest.after(count)

    def _whole(self) -> Progress:
        total = max(1, len(self.step.analysis.statements))
        state = State.APPLIED if self.step.direction is Direction.UP else State.REVERTING
        return Progress(state, total, total)

    @property
    def _begun(self) -> State:
        return begun_state(self.step.direction)

    def _failed(self, unit: Unit, what: str, error: StatementError) -> StepFailed:
        script = self.step.script
        line, column = place_of(script, self.step.analysis.statements[unit.first].start)
        return StepFailed(
            Failure(
                migration=self.step.migration.label,
                message=mask(f"{what}{error}", script.hidden),
                sqlstate=error.sqlstate,
                statement=unit.first + 1,
                file=script.path,
                line=line,
                column=column,
            )
        )


def _without_return(error: StepFailed) -> StepFailed:
    """Say of a failure that the step may have committed a part, and that nobody can tell which."""
    hint = (
        "See what it has done. Then say in the file how to tell (migrate:verify, or verify in Python),"
        " or take it as done: repair, mark."
    )
    return StepFailed(replace(error.failure, has_committed=True, hint=hint))


def unit_span(step: Step, unit: Unit) -> tuple[int, int]:
    """Return where a unit begins and ends in its script, COPY data included."""
    last = step.analysis.statements[unit.last]
    end = last.end if last.copy_data is None else last.copy_data[1] + 2
    return step.analysis.statements[unit.first].start, end
