"""Recording the progress of a script that runs statement by statement, in its row of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.history import State
from lockgate.core.migration import Direction
from lockgate.core.resumption import begun_state
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.apply.session_sql import BEGIN, COMMIT, COMMIT_LATER
from lockgate.postgres.server.message import MessagePart, MessageWriter
from lockgate.postgres.tables.history_row import MigrationProgress
from lockgate.postgres.tables.history_sql import forget_sql, session_digest_sql

if TYPE_CHECKING:
    from lockgate.core.analysis import Unit
    from lockgate.core.outcome import FinishedMigration
    from lockgate.core.segment import Step
    from lockgate.core.token_checksum import TokenDigest
    from lockgate.postgres.apply.script_session import ScriptSession
    from lockgate.postgres.apply.session import Session


@dataclass(slots=True)
class StepRecord:
    """The history row of one step, with the digest of its session state.

    ``has_row``: this run has written the row already, including the scripts.
    """

    session: Session
    step: Step
    script_session: ScriptSession
    digest: TokenDigest
    has_row: bool = False

    def before(self, unit: Unit, facts: str | None = None) -> MigrationProgress:
        """Return the progress before a unit; with ``facts``, as an announcement of its attempt."""
        return MigrationProgress(
            begun_state(self.step.direction),
            unit.first,
            len(self.step.analysis.statements),
            None if facts is None else unit.first + 1,
            self.digest.after(unit.first),
            facts,
        )

    def after(self, unit: Unit) -> MigrationProgress:
        """Return the progress after a unit."""
        if unit is self.step.analysis.last_unit:
            return self.complete()
        done, total = unit.last + 1, len(self.step.analysis.statements)
        state = begun_state(self.step.direction)
        return MigrationProgress(state, done, total, None, self.digest.after(done))

    def complete(self) -> MigrationProgress:
        """Return the progress of the complete script."""
        total = max(1, len(self.step.analysis.statements))
        state = State.APPLIED if self.step.direction is Direction.UP else State.REVERTING
        return MigrationProgress(state, total, total)

    def add(
        self, writer: MessageWriter, progress: MigrationProgress, *, in_block: bool = False
    ) -> None:
        """Add the row and the fence to the open transaction.

        ``in_block``: settings in the script's own transaction may not outlive it, so the digest is
        added by `add_session` afterwards.
        """
        digest = "NULL"
        if not _is_complete(progress) and progress.done > 0 and not in_block:
            digest = self.script_session.capture(writer)
        migration = self.step.migration
        record = self.session.record(
            self.step,
            progress,
            has_scripts=self.has_row,
            previous=migration.migration_id,
            session_digest=digest,
        )
        self.has_row = True
        self.session.own_role(writer)
        writer.add(MessagePart.RECORD, record, migration=migration)
        self.session.add_fence(writer)

    def add_session(self, writer: MessageWriter, progress: MigrationProgress) -> None:
        """Add a transaction that only records the session digest; without it, a resume is refused."""
        if _is_complete(progress):
            return
        writer.add(MessagePart.CONTROL, BEGIN)
        digest = self.script_session.capture(writer)
        self.session.own_role(writer)
        update = session_digest_sql(self.session.tables, self.step.migration, digest)
        writer.add(MessagePart.CONTROL, update)
        writer.add(MessagePart.CONTROL, COMMIT_LATER)
        self.session.add_fence(writer)
        writer.add(MessagePart.CONTROL, COMMIT)

    def write(self, progress: MigrationProgress) -> list[FinishedMigration]:
        """Write the row in its own transaction; return the migration if it is complete."""
        writer = MessageWriter()
        writer.add(MessagePart.CONTROL, BEGIN)
        self.add(writer, progress)
        writer.add(MessagePart.CONTROL, COMMIT)
        done = self.session.flush(writer)
        return done if _is_complete(progress) else []

    def note_failure(self, unit: Unit) -> None:
        """Record progress, or delete the row if nothing was done."""
        self.script_session.is_recorded = False
        row, progress = self.step.row, self.before(unit)
        if self.step.direction is Direction.DOWN and progress.done == 0:
            total = 1 if row is None else row.statements_total
            self.write(MigrationProgress(State.APPLIED, total, total))
            return
        if progress.done > 0 or (row is not None and row.state is State.APPLIED):
            self.write(progress)
            return
        writer = MessageWriter()
        writer.add(MessagePart.CONTROL, BEGIN)
        self.session.own_role(writer)
        writer.add(MessagePart.CONTROL, forget_sql(self.session.tables, self.step.migration))
        self.session.add_fence(writer)
        writer.add(MessagePart.CONTROL, COMMIT)
        self.session.flush(writer)


def _is_complete(progress: MigrationProgress) -> bool:
    return progress.done == progress.total and progress.attempting is None
