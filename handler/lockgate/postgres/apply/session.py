"""One run's session on the server: messages, records, the fence. Knows no order of segments.

Between two segments the session is outside any transaction: a failed one was rolled back.
"""

from __future__ import annotations

import contextlib
from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lockgate.core.analysis import Mode
from lockgate.core.migration import Direction
from lockgate.core.outcome import Done, Stamp
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
    MessageWriter,
    Part,
    find_results,
)
from lockgate.postgres.server.own_session import OWN_PATH, role_sql
from lockgate.postgres.server.statement_result import StatementError
from lockgate.postgres.tables.history_row import Progress, make_row
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
    """When a migration had ended, or for ``None`` when the first could begin: the server's epoch."""

    migration: Migration | None
    epoch: Decimal


@dataclass(frozen=True, slots=True)
class Answer:
    """What a message gave: what its records wrote, and when its migrations ended."""

    done: list[Done]
    end_times: list[EndTime]


@dataclass(slots=True)
class Session:
    """The connection of a run that holds the lock with ``stamp.token``.

    ``memo`` is what revisions of Alembic's remember of each other; what was rolled back is not in it.
    ``kept`` are the statements that set what an earlier migration has left (`kept_session`).
    ``facts`` are the looks at a transaction that an automatic undo needs (`undo_facts`), if it
    ``collects_facts``.
    ``has_committed``: it is on record that the run has committed something.
    ``is_borrowed``: a pooler lends it for one transaction at a time, so that nothing may be set beyond.
    ``notes`` are warnings about invalid indexes that stay, by their oid.
    ``tell`` shows what a migration said to the terminal in which it runs, and to nobody else.
    """

    connection: Connection
    tables: Tables
    stamp: Stamp
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
        """End a transaction that failed, if one is open."""
        if self.connection.in_transaction:
            with contextlib.suppress(StatementError):
                self.connection.send("ROLLBACK")

    def add_fence(self, writer: MessageWriter) -> None:
        """Add what fails unless this run still holds the lock, and notes that it commits something.

        The lock's row is locked first, as in every statement that takes the lock.
        """
        fence = fence_sql(self.tables, self.stamp.token, self.stamp.run_id)
        writer.add(Part.FENCE, fence)
        if not self.has_committed:
            writer.add(Part.CONTROL, note_commit_sql(self.tables, self.stamp.run_id))

    def record(
        self,
        step: Step,
        progress: Progress,
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
        behind: Migration | None = None,
        is_checked: bool = False,
    ) -> None:
        """Give a migration a session as new, in which it finds what is kept and nothing else.

        It begins when the one that it stands ``behind`` has ended. ``is_checked``: the note of which
        constraints were checked in this transaction stays.
        """
        if self.is_borrowed:
            self._prepare_locally(writer, step, behind)
            return
        as_new = (*as_new_sql(self.set_role, is_checked=is_checked), *self.carried_settings)
        writer.add(Part.CONTROL, ";\n".join(as_new), results=len(as_new))
        writer.add(Part.END_TIME, self._settings_sql(step), migration=behind)

    def _prepare_locally(self, writer: MessageWriter, step: Step, behind: Migration | None) -> None:
        """Do the same in a transaction that is open, for no longer than it lasts."""
        writer.add(Part.CONTROL, "SET LOCAL SESSION AUTHORIZATION DEFAULT")
        writer.add(Part.CONTROL, LOCALLY_AS_NEW)
        writer.add(Part.CONTROL, role_sql(self.set_role))
        writer.add(Part.END_TIME, self._settings_sql(step), migration=behind)

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
        """Prepare in a transaction of its own, and look at what is counted before the next begins."""
        writer.add(Part.CONTROL, BEGIN)
        self.prepare(writer, step)
        if with_facts:
            writer.add(Part.CONTROL, f"SET LOCAL {OWN_PATH}")
            writer.add(Part.FACTS, begin_alone_sql(self.server_version))
        writer.add(Part.CONTROL, COMMIT)

    def add_end_time(self, writer: MessageWriter, migration: Migration) -> None:
        """Add what tells when a migration has ended."""
        writer.add(Part.END_TIME, END_TIME, migration=migration)

    def own_role(self, writer: MessageWriter) -> None:
        """Take our own role and path, whichever the script took, to the end of the transaction.

        What follows writes to our tables, so these must still be nobody else's.
        """
        writer.add(Part.CONTROL, "SET LOCAL SESSION AUTHORIZATION DEFAULT")
        writer.add(Part.CONTROL, role_sql(self.set_role))
        writer.add(Part.CONTROL, f"SET LOCAL {OWN_PATH}")
        writer.add(Part.FENCE, ownership_check_sql(self.tables))

    def _application_name(self, at: str) -> str:
        """Return the name under which other sessions see this run, and where it is."""
        return f"lockgate run={self.stamp.run_id} token={self.stamp.token} at={at}"[:63]

    def _lock_timeout_ms(self, step: Step) -> int:
        given = step.script.options.lock_timeout_ms
        if given is not None:
            return given
        # A concurrent build waits for old snapshots; a short timeout would leave it invalid.
        return self.timeouts.lock_timeout_ms if step.analysis.mode is not Mode.STATEMENTS else 0

    def _least_message(self, step: Step) -> str:
        """Return from which severity on the server's messages are wanted.

        Notices that nobody reads would fill the way back while COPY data still goes out.
        """
        has_data = any(one.copy_data is not None for one in step.analysis.statements)
        return "warning" if self.tell is None or has_data else "notice"

    def _statement_timeout_ms(self, options: Options) -> int:
        wanted = options.statement_timeout_ms
        if wanted is None:
            wanted = self.timeouts.statement_timeout_ms
        left = self.deadline.work_ms()
        if left is not None:
            # 0 would mean no limit at all.
            return max(1, min(left, wanted or left))
        return wanted or 0

    def flush(self, writer: MessageWriter) -> list[Done]:
        """Send what is written and return what its records say; raises what `send` does."""
        return self.send(writer).done

    def send(self, writer: MessageWriter, meanwhile: Callable[[], object] | None = None) -> Answer:
        """Send what is written and return what its records and end_times say.

        ``meanwhile`` is done while the server works, and is short.

        Raises:
            StepFailed: a statement was refused. A transaction that was open is failed.
            LockLost: another run has the lock.
            ConnectionLost: the outcome is not known.
        """
        if writer.is_empty:
            return Answer([], [])
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
            result.rows[0][0] for _, result in find_results(message, results, Part.FACTS)
        ]
        records = find_results(message, results, Part.RECORD)
        end_times = find_results(message, results, Part.END_TIME)
        return Answer(
            # A row that somebody deleted meanwhile is no longer there to be undone.
            [_to_done(row) for _, result in records for row in result.rows],
            [EndTime(migration, result.rows[0][0]) for migration, result in end_times],
        )


def _to_done(row: tuple[Any, ...]) -> Done:
    migration_id, duration_ms, epoch, direction = row
    return Done(migration_id, duration_ms, datetime.fromtimestamp(epoch, UTC), Direction(direction))
