"""Proving on the server that an automatic undo is safe. `core.undo_proof` decides.

::

    BEGIN; lock; is everything as the run left it?; down scripts; is everything as before the run?
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from lockgate.core.failure import Failure, StepFailed
from lockgate.core.sqlstate import CANCELLED, LOCK_CONFLICTS
from lockgate.core.undo_facts import Description, read_description, read_transaction
from lockgate.core.undo_proof import (
    Creation,
    Unproved,
    check_end,
    check_sequences,
    check_start,
    find_creations,
    find_sequence_positions,
    find_widened,
    refuse_undo,
)
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.apply.description import description_sql
from lockgate.postgres.apply.undo_facts import BLINDING_FUNCTIONS, begin_sql, end_sql
from lockgate.postgres.quoting import quote_literal
from lockgate.postgres.server.own_session import local_settings_sql
from lockgate.postgres.server.statement_result import StatementError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lockgate.core.segment import Step
    from lockgate.core.undo_facts import UndoFacts
    from lockgate.postgres.server.connection import Connection
    from lockgate.postgres.tables.table_names import Tables

# For one query about rows.
_QUERY_TIMEOUT_MS = 5_000

# Queries restore the settings afterwards, for the script.
_QUERY = """
SAVEPOINT lockgate_look;
{settings};
SET LOCAL statement_timeout = {timeout};
{query};
ROLLBACK TO SAVEPOINT lockgate_look;
RELEASE SAVEPOINT lockgate_look
"""
_QUERY_PLACE = 3

_TABLES = """
SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
           c.oid::bigint, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
           n.nspname || '.' || c.relname, c.relnatts))::text, '[]')
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384
"""
_RELATIONS = """
SELECT coalesce(pg_catalog.json_agg(oid::bigint)::text, '[]') FROM pg_catalog.pg_class
"""
# Relations that this transaction locked and that no longer exist.
_GONE = """
SELECT coalesce(pg_catalog.json_agg(DISTINCT l.relation::bigint)::text, '[]')
FROM pg_catalog.pg_locks AS l
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
  AND l.mode = 'AccessExclusiveLock'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = l.relation)
"""
_COLUMNS = """
SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
           attrelid::bigint, attnum, pg_catalog.quote_ident(attname), attname,
           CASE WHEN atthasmissing THEN attmissingval::text END))::text, '[]')
FROM pg_catalog.pg_attribute
WHERE attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attrelid IN ({oids})
"""
_PLACES = """
SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
           oid::bigint, pg_catalog.pg_sequence_last_value(oid)))::text, '[]')
FROM pg_catalog.pg_class WHERE relkind = 'S' AND oid IN ({oids})
"""
_HAS_FOREIGN_ROWS = "SELECT EXISTS (SELECT FROM ONLY {table} WHERE xmin::text <> '{xid}')"
# A composite of NULLs is a value, too.
_HAS_VALUES = "SELECT EXISTS (SELECT FROM ONLY {table} WHERE {condition})"


@dataclass(frozen=True, slots=True)
class _Table:
    """The current name of a table, quoted and for messages, and its number of columns."""

    sql: str
    label: str
    columns: int


@dataclass(frozen=True, slots=True)
class UndoGuard:
    """Undoes what a run did only if it can be proved that nothing else is affected."""

    connection: Connection
    tables: Tables
    server_version: int
    facts: UndoFacts
    steps: Sequence[Step]

    def watch(self, label: str, begin: Callable[[], None], work: Callable[[], None]) -> None:
        """Open a transaction, prove, undo and compare, and leave it open.

        Raises:
            UndoRefused: the proof failed. The transaction was rolled back.
            StepFailed: the server refused a query, for example because a table stayed locked.
        """
        try:
            begin()
            found = self._prove_start() or self._undo(work)
        except StatementError as error:
            message = f"it could not be proved that its undo is safe: {error}"
            failure = Failure(migration=label, message=message, sqlstate=error.sqlstate)
            raise StepFailed(failure) from error
        if found is not None:
            with contextlib.suppress(StatementError):
                self.connection.send("ROLLBACK")
            raise refuse_undo(found, self.steps)

    def _prove_start(self) -> Unproved | None:
        creations = find_creations(self.facts)
        tables = self._read_tables()
        widened = find_widened(self.facts, ((oid, one.columns) for oid, one in tables.items()))
        locked = {oid: tables[oid] for oid in sorted({*creations, *widened}) if oid in tables}
        if locked:
            names = ", ".join(f"ONLY {one.sql}" for one in locked.values())
            self._send(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
        # A table may have been renamed or replaced before it was locked.
        tables = self._read_tables()
        moved = next((one for oid, one in locked.items() if tables.get(oid) != one), None)
        if moved is not None:
            return Unproved(f"table {moved.label}", "was just changed by another session")
        now, (xid,) = self._describe(), self._ask("SELECT pg_catalog.pg_current_xact_id()::text")[0]
        return (
            check_start(self.facts, now, int(xid))
            or self._prove_rows(creations, widened, locked)
            or self._prove_sequences()
            or self._prove_counting()
        )

    def _prove_sequences(self) -> Unproved | None:
        oids = ", ".join(map(str, find_sequence_positions(self.facts)))
        rows = self._ask_json(_PLACES.format(oids=oids)) if oids else []
        return check_sequences(self.facts, dict(rows))

    def _prove_counting(self) -> Unproved | None:
        found = self._ask(f"{BLINDING_FUNCTIONS} ORDER BY 1 LIMIT 1")
        why = "turns off the counting of changed rows"
        return Unproved(f"function {found[0][0]}", why) if found else None

    def _prove_rows(
        self, creations: dict[int, Creation], widened: dict[int, int], locked: dict[int, _Table]
    ) -> Unproved | None:
        for oid, creation in creations.items():
            if creation.made.has_rows:
                table = locked[oid]
                query = _HAS_FOREIGN_ROWS.format(table=table.sql, xid=creation.xid)
                found = self._find_any(
                    query, f"table {table.label}", "holds rows that others wrote"
                )
                if found is not None:
                    return found
        for oid, label, condition in self._read_added(widened):
            query = _HAS_VALUES.format(table=locked[oid].sql, condition=condition)
            what = f"column {locked[oid].label}.{label}"
            found = self._find_any(query, what, "holds values that others wrote")
            if found is not None:
                return found
        return None

    def _find_any(self, query: str, what: str, why: str) -> Unproved | None:
        try:
            holds = self._ask(query)[0][0]
        except StatementError as error:
            if error.sqlstate in LOCK_CONFLICTS:
                raise
            is_slow = error.sqlstate == CANCELLED
            reason = "within 5 s" if is_slow else f"({error.sqlstate})"
            return Unproved(what, f"could not be searched {reason}")
        return Unproved(what, why) if holds else None

    def _read_added(self, widened: dict[int, int]) -> Iterator[tuple[int, str, str]]:
        """Yield columns that the run added to existing tables, with a condition for values of others."""
        if not widened:
            return
        rows = self._ask_json(_COLUMNS.format(oids=", ".join(map(str, widened))))
        for oid, number, name, label, default in rows:
            if number > widened[oid]:
                yield oid, label, _other_than(name, default)

    def _undo(self, work: Callable[[], None]) -> Unproved | None:
        known = set(self._ask_json(_RELATIONS))
        counts = self._ask(begin_sql())[0][0]
        work()
        # A deferred trigger would only run at COMMIT, after the last query.
        self._send("SET CONSTRAINTS ALL IMMEDIATE")
        seen = read_transaction(
            (), counts, self._ask(end_sql(self.tables, self.server_version))[0][0]
        )
        if seen.blind is not None:
            return Unproved("the undo", f"had effects that cannot be checked: {seen.blind}")
        creations = find_creations(self.facts)
        for oid, label in seen.written:
            if oid not in creations:
                return Unproved(f"table {label}", "would be written to by a down script")
        found = check_end(self.facts.before, self._describe())
        if found is None and not known.issuperset(self._ask_json(_GONE)):
            # Its own, or another session's that was created in the meantime: the server cannot say
            # which.
            return Unproved("a down script", "drops a table that did not exist when the undo began")
        return found

    def _describe(self) -> Description:
        sql = description_sql(self.tables, self.server_version)
        return read_description(self._ask(sql, timeout_ms=0)[0][0])

    def _read_tables(self) -> dict[int, _Table]:
        return {oid: _Table(*rest) for oid, *rest in self._ask_json(_TABLES)}

    def _ask_json(self, query: str) -> list[Any]:
        found: list[Any] = json.loads(self._ask(query)[0][0])
        return found

    def _ask(self, query: str, *, timeout_ms: int = _QUERY_TIMEOUT_MS) -> Sequence[Sequence[Any]]:
        message = _QUERY.format(settings=local_settings_sql(), timeout=timeout_ms, query=query)
        return self.connection.send(message, is_watched=True)[_QUERY_PLACE].rows

    def _send(self, sql: str) -> None:
        self.connection.send(sql, is_watched=True)


def _other_than(name: str, default: str | None) -> str:
    """Return the condition for a value other than the default of a column in old rows.

    Compares text: not every type has an equality operator, and equal values may differ.
    """
    has_value = f"pg_catalog.num_nonnulls({name}) = 1"
    if default is None:
        return has_value
    kept = quote_literal(_read_element(default))
    return f"NOT ({has_value} AND pg_catalog.format('%s', {name}) = {kept})"


def _read_element(text: str) -> str:
    """Return the only element of an array, given as text."""
    inner = text[1:-1]
    if not inner.startswith('"'):
        return inner
    plain, is_escaped = [], False
    for letter in inner[1:-1]:
        if letter == "\\" and not is_escaped:
            is_escaped = True
            continue
        plain.append(letter)
        is_escaped = False
    return "".join(plain)
