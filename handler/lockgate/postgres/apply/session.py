"""The session of a run that holds the lock: sends messages with their records and the fence.

Between two segments no transaction is open: a failed one was rolled back.
"""

from __future__ import annotations

import contextlib
from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lockgate.core.migration import Direction
from lockgate.core.outcome import FinishedMigration, RowStamp
from lockgate.core.transaction_mode import Mode
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.apply.failures import translate_error
from lockgate.postgres.apply.session_sql import (
    BEGIN,
    COMMIT,
    END_TIME,
    LOCALLY_AS_NEW,
    as_new_sql,
    settings_sql,
)
from lockgate.postgres.apply.undo_facts import begin_alone_sql
from lockgate.postgres.server.message import (
    MessagePart,
    MessageWriter,
    find_results,
)
from lockgate.postgres.server.own_session import OWN_PATH, role_sql
from lockgate.postgres.server.statement_result import StatementError
from lockgate.postgres.tables.history_row import MigrationProgress, make_row
from lockgate.postgres.tables.history_sql import record_sql, revert_sql
from lockgate.postgres.tables.lock_table import fence_sql
from lockgate.postgres.tables.run_table import note_commit_sql
from lockgate.postgres.tables.untrusted_owners import ownership_check_sql

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from lockgate.core.deadline import Clock, Deadline
    from lockgate.core.migration import Migration, Options
    from lockgate.core.segment import Step
    from lockgate.postgres.apply.guard import Guard
    from lockgate.postgres.server.connection import Connection
    from lockgate.postgres.server.session_options import Timeouts
    from lockgate.postgres.tables.table_names import Tables


@dataclass(frozen=True, slots=True)
class EndTime:
    """When a migration ended, in seconds of the epoch by the server's clock.

    Without a migration: when the first one could begin.
    """

    migration: Migration | None
    epoch: Decimal


@dataclass(frozen=True, slots=True)
class MessageOutcome:
    """The results of a message: the rows that it recorded, and when its migrations ended."""

    done: list[FinishedMigration]
    end_times: list[EndTime]


@dataclass(slots=True)
class Session:
    """The connection of a run that holds the lock with ``stamp.token``.

    * ``memo`` is what Alembic remembers between revisions, without what was rolled back.
    * ``carried_settings`` are statements that restore the settings of earlier migrations.
    * ``facts`` are what an automatic undo needs to know about a transaction (`undo_facts`), if the
      session ``collects_facts``.
    * ``has_committed``: the run table says that the run has committed something.
    * ``is_borrowed``: a pooler lends the session for one transaction at a time, so no setting may
      outlive it.
    * ``notes`` are warnings about invalid indexes that remain, by oid.
    * ``tell`` shows messages of a migration in the terminal; they go nowhere else.
    """

    connection: Connection
    tables: Tables
    stamp: RowStamp
    timeouts: Timeouts
    deadline: Deadline
    clock: Clock
    set_role: str | None
    server_version: int
    guard: Guard | None = None
    memo: dict[str, Any] = field(default_factory=dict)
    carried_settings: tuple[str, ...] = ()
    collects_facts: bool = False
    is_borrowed: bool = False
    facts: list[str] = field(default_factory=list)
    has_committed: bool = False
    notes: dict[int, str] = field(default_factory=dict)
    tell: Callable[[str, str], None] | None = None

    def roll_back(self) -> None:
        """Roll back the open transaction, if there is one."""
        if self.connection.in_transaction:
            with contextlib.suppress(StatementError):
                self.connection.send("ROLLBACK")

    def add_fence(self, writer: MessageWriter) -> None:
        """Add the check that this run still holds the lock, and the note that it commits something.

        It locks the lock row first, like every statement that takes the lock.
        """
        fence = fence_sql(self.tables, self.stamp.token, self.stamp.run_id)
        writer.add(MessagePart.FENCE, fence)
        if not self.has_committed:
            writer.add(MessagePart.CONTROL, note_commit_sql(self.tables, self.stamp.run_id))

    def record(
        self,
        step: Step,
        progress: MigrationProgress,
        *,
        is_new: bool = False,
        has_scripts: bool = False,
        previous: str | None = None,
        session_digest: str = "NULL",
    ) -> str:
        """Return the statement that writes a migration's row; see `record_sql` and `revert_sql`."""
        if step.direction is Direction.DOWN:
            return revert_sql(self.tables, step.migration, progress, session_digest=session_digest)
        row = make_row(step.migration, self.stamp, progress)
        return record_sql(
            self.tables,
            row,
            is_new=is_new,
            has_scripts=has_scripts,
            previous=previous,
            session_digest=session_digest,
        )

    def prepare(
        self,
        writer: MessageWriter,
        step: Step,
        *,
        preceding: Migration | None = None,
        is_checked: bool = False,
    ) -> None:
        """Reset the session for a migration; only carried settings remain.

        Also record when the ``preceding`` migration ended, if there is one. ``is_checked``: remember
        which constraints were checked in this transaction.
        """
        if self.is_borrowed:
            self._prepare_locally(writer, step, preceding)
            return
        as_new = (*as_new_sql(self.set_role, is_checked=is_checked), *self.carried_settings)
        writer.add(MessagePart.CONTROL, ";\n".join(as_new), results=len(as_new))
        writer.add(MessagePart.END_TIME, self._settings_sql(step), migration=preceding)

    def _prepare_locally(
        self, writer: MessageWriter, step: Step, preceding: Migration | None
    ) -> None:
        """Do the same inside the open transaction, and only until it ends."""
        writer.add(MessagePart.CONTROL, "SET LOCAL SESSION AUTHORIZATION DEFAULT")
        writer.add(MessagePart.CONTROL, LOCALLY_AS_NEW)
        writer.add(MessagePart.CONTROL, role_sql(self.set_role))
        writer.add(MessagePart.END_TIME, self._settings_sql(step), migration=preceding)

    def _settings_sql(self, step: Step) -> str:
        return settings_sql(
            self._application_name(step.migration.migration_id),
            lock_timeout_ms=self._lock_timeout_ms(step),
            statement_timeout_ms=self._statement_timeout_ms(step.script.options),
            least_message=self._least_message(step),
            server_version=self.server_version,
            is_local=self.is_borrowed,
        )

    def prepare_alone(self, writer: MessageWriter, step: Step, *, with_facts: bool = False) -> None:
        """Prepare in a separate transaction; ``with_facts``: also read the counts of changed rows."""
        writer.add(MessagePart.CONTROL, BEGIN)
        self.prepare(writer, step)
        if with_facts:
            writer.add(MessagePart.CONTROL, f"SET LOCAL {OWN_PATH}")
            writer.add(MessagePart.FACTS, begin_alone_sql(self.server_version))
        writer.add(MessagePart.CONTROL, COMMIT)

    def add_end_time(self, writer: MessageWriter, migration: Migration) -> None:
        """Add the query for the time at which a migration ended."""
        writer.add(MessagePart.END_TIME, END_TIME, migration=migration)

    def own_role(self, writer: MessageWriter) -> None:
        """Set our own role and search path until the end of the transaction, whatever the script set.

        Then check the owners of our tables, which the following statements write.
        """
        writer.add(MessagePart.CONTROL, "SET LOCAL SESSION AUTHORIZATION DEFAULT")
        writer.add(MessagePart.CONTROL, role_sql(self.set_role))
        writer.add(MessagePart.CONTROL, f"SET LOCAL {OWN_PATH}")
        writer.add(MessagePart.FENCE, ownership_check_sql(self.tables))

    def _application_name(self, at: str) -> str:
        """Return the application name, which shows other sessions this run and its migration."""
        return f"lockgate run={self.stamp.run_id} token={self.stamp.token} at={at}"[:63]

    def _lock_timeout_ms(self, step: Step) -> int:
        given = step.script.options.lock_timeout_ms
        if given is not None:
            return given
        # A concurrent build waits for old snapshots; a short timeout would leave an invalid index.
        return self.timeouts.lock_timeout_ms if step.analysis.mode is not Mode.STATEMENTS else 0

    def _least_message(self, step: Step) -> str:
        """Return the lowest severity that the server should report.

        Unread notices would fill the buffers of the connection while COPY data is still being sent.
        """
        has_data = any(one.copy_data is not None for one in step.analysis.statements)
        return "warning" if self.tell is None or has_data else "notice"

    def _statement_timeout_ms(self, options: Options) -> int:
        wanted = options.statement_timeout_ms
        if wanted is None:
            wanted = self.timeouts.statement_timeout_ms
        left = self.deadline.work_ms()
        if left is not None:
            # 0 would mean no limit.
            return max(1, min(left, wanted or left))
        return wanted or 0

    def flush(self, writer: MessageWriter) -> list[FinishedMigration]:
        """Send the message and return what it recorded; raises what `send` does."""
        return self.send(writer).done

    def send(
        self, writer: MessageWriter, meanwhile: Callable[[], object] | None = None
    ) -> MessageOutcome:
        """Send the message and return what it recorded and when its migrations ended.

        ``meanwhile`` is called while the server works and must be short.

        Raises:
            StepFailed: a statement was refused. An open transaction has failed.
            LockLost: another run has the lock.
            ConnectionLost: the outcome is unknown.
        """
        if writer.is_empty:
            return MessageOutcome([], [])
        message = writer.take()
        try:
            results = self.connection.send(
                message.text,
                message.copies,
                is_watched=True,
                keeps_rows=False,
                meanwhile=meanwhile,
            )
        except StatementError as error:
            raise translate_error(
                message, error, token=self.stamp.token, schema_name=self.tables.schema_name
            ) from error
        self.facts += [
            result.rows[0][0] for _, result in find_results(message, results, MessagePart.FACTS)
        ]
        records = find_results(message, results, MessagePart.RECORD)
        end_times = find_results(message, results, MessagePart.END_TIME)
        return MessageOutcome(
            # A row that somebody deleted in the meantime has no result.
            [_to_done(row) for _, result in records for row in result.rows],
            [EndTime(migration, result.rows[0][0]) for migration, result in end_times],
        )


def _to_done(row: tuple[Any, ...]) -> FinishedMigration:
    migration_id, duration_ms, epoch, direction = row
    return FinishedMigration(
        migration_id, duration_ms, datetime.fromtimestamp(epoch, UTC), Direction(direction)
    )
