"""One run's session on the server: messages, records, the fence. Knows no order of segments.

Between two segments the session is outside any transaction: a failed one was rolled back.
"""

from __future__ import annotations

import contextlib
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lockgate.core.analysis import Mode, place_of
from lockgate.core.failure import Failure, StepFailed, make_excerpt, mask, without_row_data
from lockgate.core.migration import Direction
from lockgate.core.outcome import Done, Stamp
from lockgate.core.sql.script import find_invisible
from lockgate.core.words import kept_back, shown_context, shown_detail
from lockgate.errors import LockLost
from lockgate.fast_start.dataclass import dataclass
from lockgate.invisible import name_character, name_invisible
from lockgate.postgres.apply.constraints import RESET_ALL_BUT_CHECKED
from lockgate.postgres.apply.undo_facts import begin_alone_sql
from lockgate.postgres.quoting import quote_identifier, quote_literal
from lockgate.postgres.server.connection import OWN_BLOCK, Connection, StatementError
from lockgate.postgres.server.message import (
    Blame,
    Message,
    MessageWriter,
    Part,
    find_blame,
    find_results,
)
from lockgate.postgres.server.own_session import OWN_PATH, role_sql
from lockgate.postgres.tables.contact import note_commit_sql
from lockgate.postgres.tables.history_table import Progress, make_row, record_sql, revert_sql
from lockgate.postgres.tables.lock_table import fence_sql
from lockgate.postgres.tables.strangers import STRANGER_FOUND, guard_sql, refuse_new_stranger

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from lockgate.core.deadline import Clock, Deadline
    from lockgate.core.migration import Migration, Options, Script
    from lockgate.core.segment import Step
    from lockgate.core.sql.script import Statement
    from lockgate.postgres.apply.guard import Guard
    from lockgate.postgres.server.session_options import Timeouts
    from lockgate.postgres.tables.schema import Tables

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
COMMIT = "COMMIT"
# The last commit of a run, which frees the lock, is synchronous and flushes all that came before.
COMMIT_LATER = "SET LOCAL synchronous_commit = off"

# What only the server knows of a statement: a partitioned table, a procedure that commits.
# Syntax errors, and names that do not exist.
_SYNTAX = "42"
_NEEDS_NO_TRANSACTION = frozenset({"25001", "2D000"})
_LATER = "Nothing is wrong with the file: invoke again when the sessions in the way are done."
_HINTS = {
    "55P03": _LATER,
    "40P01": _LATER,
    "57014": "Somebody cancelled the statement, or it ran into its statement_timeout: invoke again, or"
    " give it more time with LOCKGATE_STATEMENT_TIMEOUT.",
    "23505": "Mend the data, or the file, and invoke again.",
    "23503": "Mend the data, or the file, and invoke again.",
    "23514": "Mend the data, or the file, and invoke again.",
    "23502": "Mend the data, or the file, and invoke again.",
    "42501": "Grant the role what the message names, or let it act as the owner: LOCKGATE_SET_ROLE.",
    "22P05": "The database's encoding lacks the character: write another, or use a database in UTF8.",
    "55P04": "Put the use of the new value in a migration after the one that adds it.",
}
# The row was not there when this run read the history, and only the holder of the lock writes one.
_ROW_HINTS = {
    "23505": "Somebody wrote to the history by hand as this run began: invoke again, and it is read.",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """When a migration had ended, or for ``None`` when the first could begin: the server's epoch."""

    migration: Migration | None
    epoch: Decimal


@dataclass(frozen=True, slots=True)
class Answer:
    """What a message gave: what its records wrote, and when its migrations ended."""

    done: list[Done]
    marks: list[Mark]


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
    kept: tuple[str, ...] = ()
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
        as_new = (*self._as_new(), *self.kept)
        if is_checked:
            as_new = tuple(RESET_ALL_BUT_CHECKED if sql == _RESET_ALL else sql for sql in as_new)
        writer.add(Part.CONTROL, ";\n".join(as_new), results=len(as_new))
        writer.add(Part.MARK, self._settings_sql(step), migration=behind)

    def _prepare_locally(self, writer: MessageWriter, step: Step, behind: Migration | None) -> None:
        """Do the same in a transaction that is open, for no longer than it lasts."""
        writer.add(Part.CONTROL, "SET LOCAL SESSION AUTHORIZATION DEFAULT")
        writer.add(Part.CONTROL, _LOCALLY_AS_NEW)
        writer.add(Part.CONTROL, role_sql(self.set_role))
        writer.add(Part.MARK, self._settings_sql(step), migration=behind)

    def _settings_sql(self, step: Step) -> str:
        """Return the one statement that makes the settings, tells the time and frees advisory locks.

        A statement for each of them took a tenth of the time of a small migration.
        """
        name = quote_literal(self._application_name(step.migration.migration_id))
        return _MAKE_SETTINGS.format(
            is_local="true" if self.is_borrowed else "false",
            unlock="" if self.is_borrowed else _UNLOCK,
            application_name=name,
            lock_timeout=self._lock_timeout_ms(step),
            statement_timeout=self._statement_timeout_ms(step.script.options),
            messages=self._least_message(step),
            others=_OTHERS if self.server_version < _HAS_TRANSACTION_TIMEOUT else _OTHERS_NOW,
        )

    def prepare_alone(self, writer: MessageWriter, step: Step, *, with_facts: bool = False) -> None:
        """Prepare in a transaction of its own, and look at what is counted before the next begins."""
        writer.add(Part.CONTROL, BEGIN)
        self.prepare(writer, step)
        if with_facts:
            writer.add(Part.CONTROL, f"SET LOCAL {OWN_PATH}")
            writer.add(Part.FACTS, begin_alone_sql(self.server_version))
        writer.add(Part.CONTROL, COMMIT)

    def mark(self, writer: MessageWriter, migration: Migration) -> None:
        """Add what tells when a migration has ended."""
        writer.add(Part.MARK, _MARK, migration=migration)

    def own_role(self, writer: MessageWriter) -> None:
        """Take our own role and path, whichever the script took, to the end of the transaction.

        What follows writes to our tables, so these must still be nobody else's.
        """
        writer.add(Part.CONTROL, "SET LOCAL SESSION AUTHORIZATION DEFAULT")
        writer.add(Part.CONTROL, role_sql(self.set_role))
        writer.add(Part.CONTROL, f"SET LOCAL {OWN_PATH}")
        writer.add(Part.FENCE, guard_sql(self.tables))

    def _as_new(self) -> list[str]:
        role = [] if self.set_role is None else [f"SET ROLE {quote_identifier(self.set_role)}"]
        return [*_AS_NEW, *role]

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
        """Send what is written and return what its records and marks say.

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
            raise self._translate(message, error) from error
        self.facts += [
            result.rows[0][0] for _, result in find_results(message, results, Part.FACTS)
        ]
        records = find_results(message, results, Part.RECORD)
        marks = find_results(message, results, Part.MARK)
        return Answer(
            # A row that somebody deleted meanwhile is no longer there to be undone.
            [_to_done(row) for _, result in records for row in result.rows],
            [Mark(migration, result.rows[0][0]) for migration, result in marks],
        )

    def _translate(self, message: Message, error: StatementError) -> Exception:
        blame = find_blame(message, error)
        if blame.piece.part is Part.FENCE and error.sqlstate == "22012":
            return lock_lost(self.stamp.token)
        if blame.piece.part is Part.FENCE and error.sqlstate == STRANGER_FOUND:
            return refuse_new_stranger(self.tables.schema_name)
        script, migration = blame.piece.script, blame.piece.migration
        if blame.piece.part in _CHECKS and migration is not None:
            failure = _check_failure(error, migration, _script_of(message, migration))
            return StepFailed(replace(failure, is_of_all=blame.piece.part is Part.CHECK_ALL))
        if script is None or migration is None:
            label = _last_label(message) if migration is None else migration.label
            is_row = blame.piece.part is Part.RECORD
            return StepFailed(_own_failure(error, label, is_row=is_row))
        assert blame.offset is not None
        line, column = place_of(script, blame.offset)
        return StepFailed(
            Failure(
                migration=migration.label,
                message=name_invisible(
                    mask(without_row_data(error.sqlstate, error.fields.get("M", "")), script.hidden)
                ),
                sqlstate=error.sqlstate,
                hint=_hint(error, script, _statement_of(blame)),
                detail=shown_detail(error.fields, script.hidden),
                context=shown_context(error.fields, script.hidden),
                kept_back=kept_back(error.fields, script.hidden),
                statement=blame.statement,
                file=script.path,
                line=line,
                column=column,
                excerpt=make_excerpt(script.text, line - script.first_line + 1, column),
            )
        )


_CHECKS = frozenset({Part.CHECK, Part.CHECK_ALL})

_RESET_ALL = "RESET ALL"
# It leaves all the others alone.
_AS_NEW = (
    "RESET SESSION AUTHORIZATION",
    "RESET ROLE",
    _RESET_ALL,
    "CLOSE ALL",
    "DEALLOCATE ALL",
    "UNLISTEN *",
    "DISCARD TEMP",
    "DISCARD SEQUENCES",
)

# A statement whose client is gone ends by itself: the server looks for a closed socket, and its
# kernel notices one that only fell silent. No timeout of the role's or the database's applies to
# migrations.
_OTHERS = """('client_connection_check_interval', '2000'), ('tcp_keepalives_idle', '10'),
    ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
    ('idle_in_transaction_session_timeout', '0'),
    ('idle_session_timeout', '0')"""
_OTHERS_NOW = f"{_OTHERS}, ('transaction_timeout', '0')"
_HAS_TRANSACTION_TIMEOUT = 170000

# Rows are kept of what begins with this column.
_MAKE_SETTINGS = """
SELECT extract(epoch FROM pg_catalog.clock_timestamp()) AS lockgate_record,
       pg_catalog.count(pg_catalog.set_config(name, value, {is_local})){unlock}
FROM (VALUES
    ('application_name', {application_name}), ('lock_timeout', '{lock_timeout}'),
    ('statement_timeout', '{statement_timeout}'), ('client_min_messages', '{messages}'),
    {others}) AS settings (name, value)
"""
_UNLOCK = ", pg_catalog.pg_advisory_unlock_all()"
# Whoever had a borrowed session before may have set anything; it gets that back at the end.
_LOCALLY_AS_NEW = """
SELECT pg_catalog.count(pg_catalog.set_config(name, reset_val, true))
FROM pg_catalog.pg_settings
WHERE source OPERATOR(pg_catalog.=) 'session'
  AND name OPERATOR(pg_catalog.!~) '^transaction_'
  AND (context OPERATOR(pg_catalog.=) 'user'
       OR pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on')
"""
_MARK = "SELECT extract(epoch FROM pg_catalog.clock_timestamp()) AS lockgate_record"


def lock_lost(token: int) -> LockLost:
    """Return the error of a run whose lock was taken, by another run or on purpose."""
    return LockLost(
        "Another run, or an operator's unlock, took the migration lock (token"
        f" {token} is no longer valid).",
        hint="Look at migration_run first: an operator's reason stands there. Else invoke again: the"
        " other run may have done the work.",
    )


def _to_done(row: tuple[Any, ...]) -> Done:
    migration_id, duration_ms, epoch, direction = row
    return Done(migration_id, duration_ms, datetime.fromtimestamp(epoch, UTC), Direction(direction))


def _statement_of(blame: Blame) -> Statement | None:
    """Return the statement that failed, where it is known."""
    if blame.statement is None:
        return None
    return blame.piece.statements[blame.statement - blame.piece.first - 1]


def _hint(error: StatementError, script: Script, statement: Statement | None) -> str | None:
    """Return what the server advises, and what we do."""
    theirs = mask(error.fields.get("H", ""), script.hidden)
    ours = _find_hint(error.sqlstate, script)
    if error.sqlstate.startswith(_SYNTAX) and statement is not None:
        ours = _hint_at_invisible(script, statement) or ours
    return f"{theirs} {ours or ''}".strip() or None


def _hint_at_invisible(script: Script, statement: Statement) -> str | None:
    offset = find_invisible(script.sql, statement)
    if offset is None:
        return None
    line, column = place_of(script, offset)
    name = name_character(script.sql[offset])
    return f"{script.path}:{line}:{column} has an invisible character: {name}. Take it out."


def _find_hint(sqlstate: str, script: Script) -> str | None:
    if sqlstate in _NEEDS_NO_TRANSACTION:
        way = script.outside or "put the statement in a file that the tool runs in no transaction"
        return f"{way[0].upper()}{way[1:]}, so that it runs outside a transaction."
    return _HINTS.get(sqlstate)


def _last_label(message: Message) -> str:
    labels = [piece.migration.label for piece in message.pieces if piece.migration is not None]
    return labels[-1] if labels else "(none)"


def _script_of(message: Message, migration: Migration) -> Script | None:
    """Return the script that a message holds of a migration; one of Python is in none."""
    pieces = (piece for piece in message.pieces if piece.migration == migration)
    return next((piece.script for piece in pieces if piece.script is not None), None)


def _check_failure(error: StatementError, migration: Migration, script: Script | None) -> Failure:
    """Return the failure of a constraint that is checked behind a script; it has no place in it."""
    hidden = () if script is None else script.hidden
    return Failure(
        migration=migration.label,
        message=mask(without_row_data(error.sqlstate, error.fields.get("M", "")), hidden),
        sqlstate=error.sqlstate,
        hint=_HINTS.get(error.sqlstate),
        file=migration.path if script is None else script.path,
        is_deferred=True,
        detail=shown_detail(error.fields, hidden),
        context=_without_own(shown_context(error.fields, hidden)),
        kept_back=kept_back(error.fields, hidden),
    )


def _without_own(context: str | None) -> str | None:
    """Return a context without our own block, the outermost function."""
    lines = (context or "").splitlines()
    return "\n".join(line for line in lines if OWN_BLOCK not in line) or None


def _own_failure(error: StatementError, label: str, *, is_row: bool) -> Failure:
    """Return the failure of a statement of ours; ``is_row``: of one that writes the history."""
    hints = {**_HINTS, **_ROW_HINTS} if is_row else _HINTS
    return Failure(
        migration=label,
        message=without_row_data(error.sqlstate, str(error)),
        sqlstate=error.sqlstate,
        hint=hints.get(error.sqlstate),
    )
