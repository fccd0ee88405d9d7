"""Watching a down script for the rows that it would lose. Knows tables, columns and sizes.

Nobody can read off a script what `CASCADE`, a function or Python drops. So the script is run, the
catalogs are compared before and after, and if something that may hold rows is gone, the transaction is
rolled back, those tables are locked and looked into, and only then it is run again::

    BEGIN; look; script; look   -> nothing gone: go on to the commit
                                -> something gone: ROLLBACK; BEGIN; lock; look inside; script; look
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from lockgate.core.failure import Failure, StepFailed
from lockgate.errors import DataLossRefused
from lockgate.postgres.connection import StatementError
from lockgate.postgres.own_session import OWN_PATH
from lockgate.postgres.quoting import quote_identifier, quote_literal
from lockgate.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lockgate.postgres.connection import Connection

# Ordinary tables that take up space on disk; a partition stands for its partitioned table. What a
# transaction has deleted and inserted so far is counted by the server as it goes.
_LOOK = """
SELECT c.oid::bigint, n.nspname, c.relname,
       pg_catalog.pg_relation_filenode(c.oid)::bigint,
       pg_catalog.pg_relation_size(c.oid),
       greatest(c.reltuples::bigint, pg_catalog.pg_stat_get_live_tuples(c.oid), 0),
       coalesce(pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), 0),
       coalesce(pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid), 0),
       (SELECT pg_catalog.json_object_agg(a.attnum, a.attname)::text FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', {schema})
"""
# A look must find what it names, and leave to the script the path that it found.
_KEEP_PATH = """
SELECT pg_catalog.set_config('lockgate.path', pg_catalog.current_setting('search_path'), true)
"""
_GIVE_BACK_PATH = """
SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('lockgate.path'), true)
"""
# A policy would hide rows without a word; so it is an error here.
_HOLDS = """
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
    """A table as one look found it."""

    schema: str
    name: str
    filenode: int | None
    size: int
    estimate: int
    deleted: int
    inserted: int
    columns: dict[str, str]

    @property
    def sql(self) -> str:
        return f"{quote_identifier(self.schema)}.{quote_identifier(self.name)}"

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Gone:
    """A table, or one column of it, that a script took away or emptied."""

    table: str
    label: str
    column: str | None
    estimate: int


@dataclass(frozen=True, slots=True)
class LossGuard:
    """Lets the scripts of one run lose no row."""

    connection: Connection
    own_schema: str

    def watch(self, label: str, begin: Callable[[], None], work: Callable[[], None]) -> None:
        """Open a transaction, do the work in it, and leave it open if no row is lost by it.

        ``begin`` and ``work`` are called again where something empty is gone. ``label`` is the
        migration that a refusal of the server's is blamed on.

        Raises:
            DataLossRefused: rows would be lost. The transaction was rolled back.
            StepFailed: the server refused a look; a table stayed locked, for example.
        """
        try:
            self._watch(begin, work)
        except StatementError as error:
            failure = Failure(
                migration=label,
                message=f"it could not be watched for lost rows: {error}",
                sqlstate=error.sqlstate,
            )
            raise StepFailed(failure) from error

    def _watch(self, begin: Callable[[], None], work: Callable[[], None]) -> None:
        empty: set[Gone] = set()
        for _ in range(_MOST_ATTEMPTS):
            begin()
            lost = self._find_full(empty)
            if lost:
                raise self._refuse(lost)
            before = self._look()
            work()
            after = self._look()
            deleted = list(_find_deleted(before, after))
            if deleted:
                raise self._refuse(deleted)
            gone = set(_find_gone(before, after)) - empty
            if not gone:
                return
            self.connection.send("ROLLBACK")
            empty |= gone
        raise self._refuse(sorted(empty, key=lambda one: one.label))

    def _look(self) -> dict[int, _Table]:
        look = _LOOK.format(schema=quote_literal(self.own_schema))
        message = ";\n".join([_KEEP_PATH, f"SET LOCAL {OWN_PATH}", look, _GIVE_BACK_PATH])
        return {row[0]: _to_table(row) for row in self.connection.send(message)[2].rows}

    def _find_full(self, gone: Iterable[Gone]) -> list[Gone]:
        """Lock what went away in the attempt before and return what of it holds rows."""
        return [one for one in sorted(gone, key=lambda one: one.label) if self._holds_rows(one)]

    def _holds_rows(self, one: Gone) -> bool:
        condition = "" if one.column is None else f" WHERE {one.column} IS NOT NULL"
        sql = _HOLDS.format(table=one.table, condition=condition)
        try:
            return bool(self.connection.send(sql)[3].rows[0][0])
        except StatementError as error:
            if error.sqlstate in {"55P03", "40P01"}:
                raise
            # Who may not look into it counts it as full.
            self.connection.send("ROLLBACK TO SAVEPOINT lockgate_look")
            return True

    def _refuse(self, lost: list[Gone]) -> DataLossRefused:
        with contextlib.suppress(StatementError):
            self.connection.send("ROLLBACK")
        named = ", ".join(_describe(one) for one in lost[:_MOST_NAMED])
        more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
        return DataLossRefused(
            f"The down script would lose rows: {named}{more}.",
            hint="Back the rows up and set LOCKGATE_ALLOW_DATA_LOSS=true (in a command:"
            ' "allow_data_loss": true; in a terminal: --allow-data-loss); or go on forward with a new'
            " migration.",
        )


def _to_table(row: tuple[Any, ...]) -> _Table:
    _, schema, name, filenode, size, estimate, deleted, inserted, columns = row
    return _Table(
        schema, name, filenode, size, estimate, deleted, inserted, json.loads(columns or "{}")
    )


def _find_deleted(before: dict[int, _Table], after: dict[int, _Table]) -> Iterable[Gone]:
    for oid, table in after.items():
        count = table.deleted - (before[oid].deleted if oid in before else 0)
        if oid in before and count > 0:
            yield Gone(table.sql, f"{table.label} (deleted)", None, count)


def _find_gone(before: dict[int, _Table], after: dict[int, _Table]) -> Iterable[Gone]:
    for oid, table in before.items():
        if table.size == 0:
            continue
        now = after.get(oid)
        if now is None or _is_emptied(table, now):
            yield Gone(table.sql, table.label, None, table.estimate)
            continue
        for number, name in table.columns.items():
            if number not in now.columns:
                label = f"{table.label}.{name}"
                yield Gone(table.sql, label, quote_identifier(name), table.estimate)


def _is_emptied(before: _Table, now: _Table) -> bool:
    """Tell a truncated table, also one that was filled again, from one that was only rewritten.

    A rewrite that keeps the rows inserts none. One that the script filled besides counts as emptied.
    """
    is_new = now.filenode != before.filenode
    return is_new and (now.size == 0 or now.inserted > before.inserted)


def _describe(one: Gone) -> str:
    about = f"about {one.estimate:,} rows" if one.estimate > 1 else "at least 1 row"
    return f"{one.label}, {about}"


def unwatched(label: str, what: str) -> DataLossRefused:
    """Return the error of a down script that could lose rows unseen."""
    return DataLossRefused(
        f"The down script of migration {label} holds {what}, which commits by itself, so nobody can"
        " see in time whether it loses rows.",
        hint="See what it does, and set LOCKGATE_ALLOW_DATA_LOSS=true.",
    )
