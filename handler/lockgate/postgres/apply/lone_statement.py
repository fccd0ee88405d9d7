"""One statement that no transaction may hold: announced before, recorded after, looked up on resume.

::

    BEGIN; row: attempting 2, what the catalogs say; COMMIT
    CREATE INDEX CONCURRENTLY …
    BEGIN; row: done 2; COMMIT
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from lockgate.core.analysis import place_of
from lockgate.core.failure import Failure, OutOfTime, StepFailed, mask
from lockgate.core.refusal import make_unknown
from lockgate.core.resumption import find_begun, find_question
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
    from lockgate.core.outcome import Done
    from lockgate.core.segment import Step
    from lockgate.postgres.apply.session import Session
    from lockgate.postgres.apply.step_record import StepRecord

_POLL_SECONDS = 0.2
_BUILDS = frozenset({Question.INDEX_BUILT, Question.REINDEXED})
# A drop that waits for a reader of the table waits for others' locks too.
_HINTS = {"55P03": "Invoke again once no session uses the table: the index is dropped then."}


@dataclass(frozen=True, slots=True)
class LoneStatement:
    """One unit that consists of such a statement."""

    session: Session
    step: Step
    record: StepRecord
    unit: Unit
    verification: Verification

    @classmethod
    def of(cls, session: Session, step: Step, record: StepRecord, unit: Unit) -> LoneStatement:
        """Return that of a unit."""
        return cls(session, step, record, unit, find_question(step, unit.first))

    def apply(self) -> list[Done]:
        """Run it unless it is done; return the migration if that makes it whole.

        Raises:
            OutcomeUnknown: it was begun, and nobody can tell whether it is done.
            StepFailed: it failed.
            OutOfTime: the deadline came while another session was at work on it.
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
        """Refuse what nobody can watch for lost rows: what commits by itself, and DROP DATABASE."""
        words = self._words
        is_watched = words[:1] not in {("DO",), ("CALL",)} and words[:2] != ("DROP", "DATABASE")
        if self.session.guard is not None and not is_watched:
            raise refuse_unguarded(self.step.migration.label, " ".join(words[:2]))

    # Before it.

    def _look(self) -> tuple[Verdict, CatalogFacts]:
        """Ask until the answer is no longer to wait; drop what a broken attempt of its own left."""
        row = find_begun(self.step)
        before = None
        if row is not None and row.attempting == self.unit.first + 1:
            before = RecordedFacts.read(row.attempt_facts, row.attempted_oid)
        if self.verification.question is Question.AUTHOR and before is None:
            # The query may be about what the statement is yet to make.
            return Verdict.RUN, CatalogFacts()
        while True:
            found = self._ask(before)
            self._name_strange(found, before)
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

    def _name_strange(self, found: CatalogFacts, before: RecordedFacts | None) -> None:
        """Name the invalid indexes that are not this statement's; they are left alone."""
        own = () if before is None else find_own_indexes(self.verification, found, before)
        for index in own:
            if not index.may_drop and not index.is_valid and index.builder is None:
                self._name_kept(index)
        for index in find_other_invalid(self.verification, found, before):
            name = describe(index)
            # What was said of one that this run has left still holds.
            self.session.notes.setdefault(
                index.oid,
                f"Index {name} on {index.table} is invalid, and this migration did not make it"
                f" ({self.step.migration.label}). It was left alone. If no session builds it:"
                f" DROP INDEX CONCURRENTLY {name};",
            )

    def _occupied(self, index: Index) -> StepFailed:
        name = describe(index)
        return self._failed(
            f"index {name} exists already and is invalid, and this migration did not make it",
            "42P07",
            f"If no session builds it: DROP INDEX CONCURRENTLY {name}; then invoke again.",
        )

    def _drop(self, indexes: tuple[Index, ...]) -> None:
        """Drop invalid indexes of the statement's own; one that stays is named in the report."""
        for index in indexes:
            name = describe(index)
            place = f"Statement {self.unit.first + 1} of migration {self.step.migration.label}"
            self.session.notes[index.oid] = (
                f"{place} left the invalid index {name}, renamed to {index.own_name} if that came"
                " first, and it could not be dropped yet. The next run of the migration drops it."
            )
            try:
                drop_invalid(self.session.connection, index)
            except StatementError as error:
                message = f"the invalid index {name} that it left was not dropped: {error}"
                hint = _HINTS.get(error.sqlstate)
                raise self._failed(message, error.sqlstate, hint) from error
            del self.session.notes[index.oid]

    # It.

    def _finalize(self) -> None:
        table, partition = self.verification.table, self.verification.name
        sql = f"ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE"
        try:
            self.session.connection.send(sql, is_watched=True)
        except StatementError as error:
            raise self._failed(f"{sql}: {error}", error.sqlstate) from error

    def _run(self, found: CatalogFacts) -> None:
        """Run the statement; one that failed leaves no invalid index, if that can be had.

        Its intent is taken back where a failed one has done nothing. One that may have committed by
        itself before it failed stays as begun, and is not run again on a guess.
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
                raise without_return(error) from error
            raise

    def _send(self) -> None:
        writer = MessageWriter()
        statement = self.step.analysis.statements[self.unit.first]
        span = (statement.start, statement.end)
        script, first = self.step.script, self.unit.first
        writer.add_script(self.step.migration, script, (statement,), span, first)
        self.session.flush(writer)

    def _drop_own(self, before: CatalogFacts) -> None:
        """Drop what the statement has just left; what it may not drop is named."""
        recorded = RecordedFacts.read(before.facts(), None)
        found = self._ask(recorded)
        self._name_strange(found, recorded)
        own = find_own_indexes(self.verification, found, recorded)
        invalid = (one for one in own if not one.is_valid and one.builder is None)
        self._drop(tuple(index for index in invalid if index.may_drop))

    def _name_kept(self, index: Index) -> None:
        name = describe(index)
        self.session.notes[index.oid] = (
            f"Migration {self.step.migration.label} was interrupted and left the invalid index {name},"
            f" which this role may not drop. As a superuser: DROP INDEX CONCURRENTLY {name};"
        )

    @property
    def _may_have_committed(self) -> bool:
        by_itself = self._words[:1] in {("DO",), ("CALL",)}
        return self.verification.question is Question.AUTHOR or by_itself

    @property
    def _words(self) -> tuple[str, ...]:
        return self.step.analysis.statements[self.unit.first].words

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


def without_return(error: StepFailed) -> StepFailed:
    """Say of a failure that the step may have committed a part, and that nobody can tell which."""
    hint = (
        "See what it has done. Then say in the file how to tell (migrate:verify, or verify in Python),"
        " or take it as done: repair, mark."
    )
    return StepFailed(replace(error.failure, has_committed=True, hint=hint))
