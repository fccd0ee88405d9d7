"""Running a down script only if it loses no rows.

The text of a script does not show what `CASCADE`, a function or Python drops. So the script is run and
the catalogs are compared before and after. If something that may have rows is gone, the transaction is
rolled back, those tables are locked and checked for rows, and only then the script runs again::

    BEGIN; compare; script; compare   -> nothing gone: continue to the commit
                                      -> something gone: ROLLBACK; BEGIN; lock; check; script; compare

Values that an UPDATE overwrites are not detected, because down scripts restore values that way.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from lockgate.core.failure import Failure, StepFailed
from lockgate.core.sqlstate import LOCK_CONFLICTS
from lockgate.errors import DataLossRefused
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.apply.description import own_relations_sql
from lockgate.postgres.apply.dropped_objects import (
    Object,
    describe_dropped,
    objects_sql,
    writers_sql,
)
from lockgate.postgres.apply.undo_facts import BLINDING_FUNCTIONS
from lockgate.postgres.quoting import quote_identifier
from lockgate.postgres.server.own_session import OWN_PATH
from lockgate.postgres.server.statement_result import StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lockgate.postgres.server.connection import Connection
    from lockgate.postgres.tables.table_names import Tables

# Ordinary tables (for a partitioned table, its partitions), foreign tables, composite types, and large
# objects. The server counts what a transaction has deleted and inserted so far. A column whose catalog
# row was written by this transaction was altered.
_TABLES = """
SELECT c.oid::bigint, n.nspname, c.relname,
       pg_catalog.pg_relation_filenode(c.oid)::bigint,
       pg_catalog.pg_relation_size(c.oid),
       greatest(c.reltuples::bigint, pg_catalog.pg_stat_get_live_tuples(c.oid), 0),
       coalesce(pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), 0),
       coalesce(pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid), 0),
       (SELECT pg_catalog.json_object_agg(
                   a.attnum, pg_catalog.json_build_array(a.attname, a.xmin::text))::text
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       c.relkind = 'f',
       c.relkind = 'f' AND EXISTS (
           SELECT FROM pg_catalog.pg_locks AS l
           WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
             AND l.relation = c.oid AND l.mode <> 'AccessShareLock'),
       pg_catalog.current_setting('track_counts')::boolean AND NOT EXISTS ({blinding}),
       c.relkind = 'c' AND EXISTS (
           SELECT FROM pg_catalog.pg_depend AS d
           WHERE d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass
             AND d.refobjid IN (c.reltype, (SELECT t.typarray FROM pg_catalog.pg_type AS t
                                            WHERE t.oid = c.reltype))
             AND d.deptype = 'n'
             AND d.classid IN ('pg_catalog.pg_class'::pg_catalog.regclass,
                               'pg_catalog.pg_type'::pg_catalog.regclass))
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'f', 'c') AND c.relpersistence <> 't'
  AND (n.nspname NOT IN ('pg_catalog', 'information_schema')
       OR c.oid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass)
  AND c.oid NOT IN ({own})
"""
# The queries need their own search path; the script must find its path again.
_SAVE_PATH = """
SELECT pg_catalog.set_config('lockgate.path', pg_catalog.current_setting('search_path'), true)
"""
_RESTORE_PATH = """
SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('lockgate.path'), true)
"""
# With row_security off, a policy causes an error instead of hiding rows. A composite of NULLs is a
# value.
_HAS_ROWS = """
SAVEPOINT lockgate_look;
SET LOCAL row_security = off;
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;
SELECT EXISTS (SELECT FROM ONLY {table}{condition});
RELEASE SAVEPOINT lockgate_look
"""
_MOST_ATTEMPTS = 4
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Table:
    """A table at one moment, or a composite type that columns of tables may have."""

    schema: str
    name: str
    filenode: int | None
    size: int
    estimate: int
    deleted: int
    inserted: int
    columns: dict[str, list[str]]
    is_foreign: bool
    is_locked: bool
    is_counted: bool
    is_used_type: bool

    @property
    def sql(self) -> str:
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Gone:
    """A table, or one of its columns, that a script dropped, emptied or rewrote.

    ``estimate`` is the number of rows, or ``None`` if they cannot be counted.
    """

    table: str
    label: str
    column: str | None
    estimate: int | None


@dataclass(frozen=True, slots=True)
class DataLossGuard:
    """Runs down scripts and refuses to lose rows.

    ``migration_ids`` are the migrations to undo. ``may_stop_counting``: their scripts mention
    track_counts. ``warn`` is called with a sentence about other objects that they drop.
    """

    connection: Connection
    tables: Tables
    migration_ids: tuple[str, ...]
    may_stop_counting: bool
    warn: Callable[[str], None]

    def watch(self, label: str, begin: Callable[[], None], work: Callable[[], None]) -> None:
        """Open a transaction, do the work in it, and leave it open if no row is lost.

        ``begin`` and ``work`` are called again if something empty is gone. An error of the server is
        reported for the migration ``label``.

        Raises:
            DataLossRefused: rows would be lost. The transaction was rolled back.
            StepFailed: the server refused a query, for example because a table stayed locked.
        """
        try:
            self._watch(begin, work)
        except StatementError as error:
            failure = Failure(
                migration=label,
                message=f"it could not be checked for lost rows: {error}",
                sqlstate=error.sqlstate,
            )
            raise StepFailed(failure) from error

    def _watch(self, begin: Callable[[], None], work: Callable[[], None]) -> None:
        empty: set[Gone] = set()
        for _ in range(_MOST_ATTEMPTS):
            begin()
            lost = self._find_nonempty(empty)
            if lost:
                raise self._refuse(lost)
            writers = [row[0] for row in self._ask(writers_sql(self.tables, self.migration_ids))]
            before, objects = self._read_tables(), self._read_objects(writers)
            work()
            # A deferred trigger would only run at COMMIT, after the comparison.
            self.connection.send("SET CONSTRAINTS ALL IMMEDIATE", is_watched=True)
            after = self._read_tables()
            if not self._has_counted(before, after):
                raise self._refuse_uncounted()
            lost = [*_find_deleted(before, after), *_find_foreign(before, after)]
            lost += _find_attributes(before, after)
            if lost:
                raise self._refuse(lost)
            gone = set(_find_gone(before, after)) - empty
            if not gone:
                tables = before.keys() - after.keys()
                self._report(describe_dropped(objects, self._read_objects(writers), tables))
                return
            self.connection.send("ROLLBACK")
            empty |= gone
        raise self._refuse(sorted(empty, key=lambda one: one.label))

    def _read_tables(self) -> dict[int, _Table]:
        own = own_relations_sql(self.tables)
        rows = self._ask(_TABLES.format(own=own, blinding=BLINDING_FUNCTIONS))
        return {row[0]: _to_table(row) for row in rows}

    def _report(self, dropped: str | None) -> None:
        if dropped is not None:
            self.warn(dropped)

    def _read_objects(self, writers: Sequence[str]) -> list[Object]:
        return [Object(*row) for row in self._ask(objects_sql(writers))]

    def _ask(self, query: str) -> tuple[tuple[Any, ...], ...]:
        message = ";\n".join([_SAVE_PATH, f"SET LOCAL {OWN_PATH}", query, _RESTORE_PATH])
        return self.connection.send(message)[2].rows

    def _has_counted(self, before: dict[int, _Table], after: dict[int, _Table]) -> bool:
        """Return whether the server counted deleted rows all the time."""
        tables = [*before.values(), *after.values()]
        return not self.may_stop_counting and all(one.is_counted for one in tables)

    def _find_nonempty(self, gone: Iterable[Gone]) -> list[Gone]:
        """Lock what was gone after the previous attempt, and return what has rows."""
        return [one for one in sorted(gone, key=lambda one: one.label) if self._has_rows(one)]

    def _has_rows(self, one: Gone) -> bool:
        condition = ""
        if one.column is not None:
            # The search path is that of the session here.
            condition = f" WHERE pg_catalog.num_nonnulls({one.column}) OPERATOR(pg_catalog.=) 1"
        sql = _HAS_ROWS.format(table=one.table, condition=condition)
        try:
            return bool(self.connection.send(sql)[3].rows[0][0])
        except StatementError as error:
            if error.sqlstate in LOCK_CONFLICTS:
                raise
            # If we may not read the table, assume it has rows.
            self.connection.send("ROLLBACK TO SAVEPOINT lockgate_look")
            return True

    def _refuse(self, lost: list[Gone]) -> DataLossRefused:
        with contextlib.suppress(StatementError):
            self.connection.send("ROLLBACK")
        named = ", ".join(_describe(one) for one in lost[:_MOST_NAMED])
        more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
        return DataLossRefused(
            f"The down script would lose rows: {named}{more}.",
            hint="Back up the rows, then allow it: LOCKGATE_ALLOW_DATA_LOSS=true (in a command:"
            ' "allow_data_loss": true; in a terminal: --allow-data-loss). Or write a new migration'
            " instead of going back.",
        )

    def _refuse_uncounted(self) -> DataLossRefused:
        with contextlib.suppress(StatementError):
            self.connection.send("ROLLBACK")
        return DataLossRefused(
            "The down script cannot be checked for lost rows: track_counts is off, or the script or a"
            " function of the database sets it.",
            hint="Run ALTER DATABASE … SET track_counts = on and invoke again, or set"
            ' "allow_data_loss": true in the command (in a terminal: --allow-data-loss).',
        )


def _to_table(row: tuple[Any, ...]) -> _Table:
    _, schema, name, filenode, size, estimate, deleted, inserted, columns, *rest = row
    columns = json.loads(columns or "{}")
    return _Table(schema, name, filenode, size, estimate, deleted, inserted, columns, *rest)


def _find_foreign(before: dict[int, _Table], after: dict[int, _Table]) -> Iterator[Gone]:
    """Yield foreign tables that are gone or were written to: their rows cannot be counted."""
    for oid, table in before.items():
        if table.is_foreign and (oid not in after or after[oid].is_locked):
            yield Gone(table.sql, f"foreign table {table.label}", None, None)


def _find_attributes(before: dict[int, _Table], after: dict[int, _Table]) -> Iterator[Gone]:
    """Yield dropped attributes of composite types in use, whose values cannot be found."""
    for oid, one in before.items():
        if one.is_used_type and oid in after:
            for number, (name, _) in one.columns.items():
                if number not in after[oid].columns:
                    yield Gone(one.sql, f"attribute {one.label}.{name}", name, None)


def _find_deleted(before: dict[int, _Table], after: dict[int, _Table]) -> Iterator[Gone]:
    for oid, table in after.items():
        count = table.deleted - (before[oid].deleted if oid in before else 0)
        if oid in before and count > 0:
            yield Gone(table.sql, f"{table.label} (deleted)", None, count)


def _find_gone(before: dict[int, _Table], after: dict[int, _Table]) -> Iterator[Gone]:
    for oid, table in before.items():
        if table.size == 0 or table.is_foreign:
            continue
        now = after.get(oid)
        if now is None or _is_emptied(table, now):
            yield Gone(table.sql, table.label, None, table.estimate)
            continue
        is_rewritten = now.filenode != table.filenode
        for number, (name, writer) in table.columns.items():
            label, column = f"{table.label}.{name}", quote_identifier(name)
            if number not in now.columns:
                yield Gone(table.sql, label, column, table.estimate)
            elif is_rewritten and now.columns[number][1] != writer:
                yield Gone(table.sql, f"{label} (rewritten)", column, table.estimate)


def _is_emptied(before: _Table, now: _Table) -> bool:
    """Return whether a table was truncated, and perhaps filled again, rather than only rewritten.

    A rewrite that keeps the rows counts no inserts. If the script also inserted rows, assume truncation.
    """
    is_new = now.filenode != before.filenode
    return is_new and (now.size == 0 or now.inserted > before.inserted)


def _describe(one: Gone) -> str:
    if one.estimate is None:
        return f"{one.label}, whose {'rows' if one.column is None else 'values'} cannot be counted"
    about = f"about {one.estimate:,} rows" if one.estimate > 1 else "at least 1 row"
    return f"{one.label}, {about}"


def refuse_unguarded(label: str, what: str) -> DataLossRefused:
    """Return the error for a down script that could lose rows unnoticed."""
    return DataLossRefused(
        f"The down script of migration {label} holds {what}, which commits by itself, so it cannot be"
        " checked for lost rows before the commit.",
        hint="Check what it does, then allow it with LOCKGATE_ALLOW_DATA_LOSS=true.",
    )
