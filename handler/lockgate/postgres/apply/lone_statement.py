"""One statement outside a transaction: announced before it runs, recorded after, checked on resume.

::

    BEGIN; row: attempting 2, what the catalogs say; COMMIT
    CREATE INDEX CONCURRENTLY …
    BEGIN; row: done 2; COMMIT
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.address import make_repair_command
from lockgate.core.analysis import place_of
from lockgate.core.failure import Failure, OutOfTime, StepFailed, mask
from lockgate.core.hint import Hint
from lockgate.core.refusal import make_unknown
from lockgate.core.request import Repair
from lockgate.core.resumption import find_begun, find_question
from lockgate.core.sql.script import hides_lost_rows, may_commit
from lockgate.core.statement_verdict import (
    CatalogFacts,
    Index,
    RecordedFacts,
    Verdict,
    decide,
    find_other_invalid,
    find_own_indexes,
)
from lockgate.core.verification import Question, Verification
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.apply.catalogs import Catalogs
from lockgate.postgres.apply.data_loss_guard import refuse_unguarded
from lockgate.postgres.apply.invalid_index import describe, drop_invalid
from lockgate.postgres.server.message import MessageWriter
from lockgate.postgres.server.statement_result import StatementError

if TYPE_CHECKING:
    from lockgate.core.analysis import Unit
    from lockgate.core.migration import Migration
    from lockgate.core.outcome import FinishedMigration
    from lockgate.core.segment import Step
    from lockgate.core.sql.script import Statement
    from lockgate.postgres.apply.session import Session
    from lockgate.postgres.apply.step_record import StepRecord

_POLL_SECONDS = 0.2
_BUILDS = frozenset({Question.INDEX_BUILT, Question.REINDEXED})
# DROP INDEX CONCURRENTLY waits for readers of the table.
_HINTS = {"55P03": "Invoke again when no session uses the table; then the index is dropped."}


@dataclass(frozen=True, slots=True)
class LoneStatement:
    """A unit that consists of one such statement."""

    session: Session
    step: Step
    record: StepRecord
    unit: Unit
    verification: Verification

    @classmethod
    def of(cls, session: Session, step: Step, record: StepRecord, unit: Unit) -> LoneStatement:
        """Return the lone statement of a unit."""
        return cls(session, step, record, unit, find_question(step, unit.first))

    def apply(self) -> list[FinishedMigration]:
        """Run the statement unless it is done; return the migration if it is complete.

        Raises:
            OutcomeUnknown: it was begun, and it cannot be determined whether it is done.
            StepFailed: it failed.
            OutOfTime: the deadline passed while another session was still executing it.
        """
        self._refuse_unwatched()
        verdict, found = self._look()
        if verdict is not Verdict.DONE:
            self.record.write(self.record.before(self.unit, found.facts()))
            if verdict is Verdict.FINALIZE:
                self._finalize()
            else:
                self._run(found)
        return self.record.write(self.record.after(self.unit))

    def _refuse_unwatched(self) -> None:
        """Refuse statements that cannot be checked for lost rows: DO, CALL and DROP DATABASE."""
        if self.session.guard is not None and hides_lost_rows(self._statement):
            what = " ".join(self._statement.words[:2])
            raise refuse_unguarded(self.step.migration.label, what)

    # Before the statement.

    def _look(self) -> tuple[Verdict, CatalogFacts]:
        """Ask until there is nothing to wait for; drop what an interrupted attempt left behind."""
        row = find_begun(self.step)
        before = None
        if row is not None and row.attempting == self.unit.first + 1:
            before = RecordedFacts.read(row.attempt_facts, row.attempted_oid)
        if self.verification.question is Question.AUTHOR and before is None:
            # The query may use what the statement creates.
            return Verdict.RUN, CatalogFacts()
        while True:
            found = self._ask(before)
            self._warn_of_others(found, before)
            decision = decide(self.verification, found, before)
            match decision.verdict:
                case Verdict.WAIT:
                    self.session.clock.sleep(_POLL_SECONDS)
                case Verdict.CLEAN:
                    self._drop(decision.indexes)
                case Verdict.OCCUPIED:
                    raise self._occupied(decision.indexes[0])
                case Verdict.CANNOT_KNOW:
                    raise make_unknown(self.step)
                case verdict:
                    return verdict, found
            if self.session.deadline.is_over:
                raise OutOfTime

    def _ask(self, before: RecordedFacts | None) -> CatalogFacts:
        try:
            return Catalogs(self.session.connection).ask(self.verification, before)
        except StatementError as error:
            what = "its migrate:verify query failed: "
            is_author = self.verification.question is Question.AUTHOR
            raise self._failed(f"{what if is_author else ''}{error}", error.sqlstate) from error

    def _warn_of_others(self, found: CatalogFacts, before: RecordedFacts | None) -> None:
        """Warn about invalid indexes of other statements, which are left alone."""
        own = () if before is None else find_own_indexes(self.verification, found, before)
        for index in own:
            if not index.may_drop and not index.is_valid and index.builder is None:
                self._warn_of_remaining(index)
        for index in find_other_invalid(self.verification, found, before):
            name = describe(index)
            # A warning about an index that this run left behind is still valid.
            self.session.notes.setdefault(
                index.oid,
                f"Index {name} on {index.table} is invalid and was not created by migration"
                f" {self.step.migration.label}, so it was left alone. If no session is building it:"
                f" DROP INDEX CONCURRENTLY {name};",
            )

    def _occupied(self, index: Index) -> StepFailed:
        name = describe(index)
        return self._failed(
            f"index {name} exists already and is invalid, and this migration did not create it",
            "42P07",
            f"If no session is building it: DROP INDEX CONCURRENTLY {name}; then invoke again.",
        )

    def _drop(self, indexes: tuple[Index, ...]) -> None:
        """Drop invalid indexes of this statement; the report names any that remains."""
        for index in indexes:
            name = describe(index)
            place = f"Statement {self.unit.first + 1} of migration {self.step.migration.label}"
            self.session.notes[index.oid] = (
                f"{place} left the invalid index {name} (perhaps renamed to {index.own_name}), which"
                " could not be dropped yet. The next run of the migration drops it."
            )
            try:
                drop_invalid(self.session.connection, index)
            except StatementError as error:
                message = f"it left the invalid index {name}, which could not be dropped: {error}"
                hint = _HINTS.get(error.sqlstate)
                raise self._failed(message, error.sqlstate, hint) from error
            del self.session.notes[index.oid]

    # The statement.

    def _finalize(self) -> None:
        table, partition = self.verification.table, self.verification.name
        sql = f"ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE"
        try:
            self.session.connection.send(sql, is_watched=True)
        except StatementError as error:
            raise self._failed(f"{sql}: {error}", error.sqlstate) from error

    def _run(self, found: CatalogFacts) -> None:
        """Run the statement. If it fails, drop the invalid index that it left, if possible.

        If it has done nothing, its announcement is withdrawn. If it may have committed a part before it
        failed, it stays recorded as begun and is not run again on a guess.
        """
        try:
            self._send()
        except StepFailed as error:
            may_have_committed = self._may_have_committed
            with contextlib.suppress(StatementError, StepFailed):
                if self.verification.question in _BUILDS:
                    self._drop_own(found)
                if not may_have_committed:
                    self.record.note_failure(self.unit)
            if may_have_committed and self.verification.question is Question.UNKNOWN:
                raise with_unknown_commit(error, self.step.migration) from error
            raise

    def _send(self) -> None:
        writer = MessageWriter()
        statement = self.step.analysis.statements[self.unit.first]
        span = (statement.start, statement.end)
        script, first = self.step.script, self.unit.first
        writer.add_script(self.step.migration, script, (statement,), span, first)
        self.session.flush(writer)

    def _drop_own(self, before: CatalogFacts) -> None:
        """Drop the invalid indexes that the statement just left; warn about the others."""
        recorded = RecordedFacts.read(before.facts(), None)
        found = self._ask(recorded)
        self._warn_of_others(found, recorded)
        own = find_own_indexes(self.verification, found, recorded)
        invalid = (one for one in own if not one.is_valid and one.builder is None)
        self._drop(tuple(index for index in invalid if index.may_drop))

    def _warn_of_remaining(self, index: Index) -> None:
        name = describe(index)
        self.session.notes[index.oid] = (
            f"Migration {self.step.migration.label} was interrupted and left the invalid index {name},"
            f" which this role may not drop. As a superuser: DROP INDEX CONCURRENTLY {name};"
        )

    @property
    def _may_have_committed(self) -> bool:
        return self.verification.question is Question.AUTHOR or may_commit(self._statement)

    @property
    def _statement(self) -> Statement:
        return self.step.analysis.statements[self.unit.first]

    def _failed(self, message: str, sqlstate: str, hint: str | None = None) -> StepFailed:
        script = self.step.script
        line, column = place_of(script, self.step.analysis.statements[self.unit.first].start)
        return StepFailed(
            Failure(
                migration=self.step.migration.label,
                message=mask(message, script.hidden),
                sqlstate=sqlstate,
                hint=hint,
                statement=self.unit.first + 1,
                file=script.path,
                line=line,
                column=column,
            )
        )


def with_unknown_commit(error: StepFailed, migration: Migration) -> StepFailed:
    """Return the failure of a step that may have committed an unknown part."""
    version = migration.migration_id
    hint = Hint(
        "Check what it has done. Then add a check to the file (migrate:verify, or `verify` in Python),"
        " or record it as applied: ",
        make_repair_command(Repair.MARK, version),
    )
    return StepFailed(replace(error.failure, has_committed=True, hint=hint))
