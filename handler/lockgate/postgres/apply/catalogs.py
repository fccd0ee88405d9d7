"""Asking the catalogs whether a statement outside a transaction is done.

`core.statement_verdict` decides what the answers mean.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lockgate.core.index_shape import IndexShape, fold_identifier
from lockgate.core.statement_verdict import CatalogFacts, Index, RecordedFacts
from lockgate.core.verification import Question, Reindexed, Verification
from lockgate.fast_start.dataclass import dataclass
from lockgate.postgres.quoting import quote_literal
from lockgate.postgres.server.statement_result import StatementError
from lockgate.postgres.tables.server_probe import OWN_OPERATORS

if TYPE_CHECKING:
    from lockgate.postgres.server.connection import Connection

# All indexes as one value. A key that is an expression has no name. Dropping an index needs the rights
# of its owner and USAGE on its schema, which the owner of a table lacks on the schema of its TOAST
# table.
_INDEXES = """
SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
           c.oid::bigint, n.nspname, c.relname, t.relname, i.indisvalid, i.indisunique, m.amname,
           i.indpred IS NOT NULL, i.indnkeyatts,
           (SELECT pg_catalog.json_agg(a.attname ORDER BY k.place)
            FROM pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place)
            LEFT JOIN pg_catalog.pg_attribute AS a
              ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0),
           (SELECT min(p.pid) FROM pg_catalog.pg_stat_progress_create_index AS p
            WHERE p.index_relid = c.oid AND p.pid <> pg_catalog.pg_backend_pid()),
           pg_catalog.pg_has_role(c.relowner, 'USAGE')
               AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')) ORDER BY c.oid)::text, '[]')
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
WHERE {scope}
"""

# An index is in the schema of its table; its name in CREATE INDEX is never qualified.
_BUILT = """
SELECT o.oid::bigint,
       (SELECT c.oid::bigint FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = o.relnamespace AND c.relname = {value}),
       ({indexes})
FROM pg_catalog.pg_class AS o
WHERE o.oid = pg_catalog.to_regclass({table})::pg_catalog.oid
"""
_OF_TABLE = _INDEXES.format(scope="i.indrelid = o.oid")

# What an interrupted REINDEX CONCURRENTLY leaves behind for its indexes, including those of TOAST tables
# (manual, REINDEX, "Rebuilding Indexes Concurrently").
_LEFTOVERS = _INDEXES.format(
    scope="""NOT i.indisvalid AND c.relname::pg_catalog.text ~ '_cc(new|old)[0-9]*$' AND {scope}"""
)
_TREE = """i.indrelid IN (
    WITH RECURSIVE tree AS (
        SELECT {root} AS oid
        UNION
        SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h JOIN tree ON h.inhparent = tree.oid
    )
    SELECT tree.oid FROM tree
    UNION ALL
    SELECT r.reltoastrelid FROM tree JOIN pg_catalog.pg_class AS r ON r.oid = tree.oid)"""
_SCOPES = {
    Reindexed.INDEX: _TREE.format(
        root="(SELECT x.indrelid FROM pg_catalog.pg_index AS x"
        " WHERE x.indexrelid = pg_catalog.to_regclass({name})::pg_catalog.oid)"
    ),
    Reindexed.TABLE: _TREE.format(root="pg_catalog.to_regclass({name})::pg_catalog.oid"),
    Reindexed.SCHEMA: """(n.nspname = {value} OR EXISTS (
        SELECT FROM pg_catalog.pg_class AS w
        JOIN pg_catalog.pg_namespace AS s ON s.oid = w.relnamespace
        WHERE w.reltoastrelid = i.indrelid AND s.nspname = {value}))""",
    Reindexed.DATABASE: "true",
    Reindexed.SYSTEM: "true",
}

_DETACHED = """
SELECT named.child, named.parent,
       EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = {known_oid}::pg_catalog.oid),
       i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false)
FROM (SELECT pg_catalog.to_regclass({name})::pg_catalog.oid::bigint AS child,
             pg_catalog.to_regclass({table})::pg_catalog.oid::bigint AS parent) AS named
LEFT JOIN pg_catalog.pg_inherits AS i
  ON i.inhrelid = coalesce({known_oid}, named.child)::pg_catalog.oid
 AND i.inhparent = coalesce({known_table}, named.parent)::pg_catalog.oid
"""

_DROPPED = """
SELECT pg_catalog.to_regclass({name})::pg_catalog.oid::bigint,
       EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = {known_oid}::pg_catalog.oid)
"""

# The catalog, and its columns for the name and the owner.
_GLOBAL = {
    Question.DATABASE_THERE: ("pg_database", "datname", "datdba"),
    Question.TABLESPACE_THERE: ("pg_tablespace", "spcname", "spcowner"),
    Question.SUBSCRIPTION_THERE: ("pg_subscription", "subname", "subowner"),
}
_GLOBAL[Question.DATABASE_GONE] = _GLOBAL[Question.DATABASE_THERE]
_GLOBAL[Question.TABLESPACE_GONE] = _GLOBAL[Question.TABLESPACE_THERE]
_GLOBAL[Question.SUBSCRIPTION_GONE] = _GLOBAL[Question.SUBSCRIPTION_THERE]
_OF_DATABASE = """
 AND subdbid = (SELECT oid FROM pg_catalog.pg_database
                WHERE datname = pg_catalog.current_database())"""
_NAMED = """
SELECT max(oid) FILTER (WHERE {column} = {value})::bigint,
       coalesce(bool_or(oid = {known_oid}::pg_catalog.oid), false),
       coalesce(bool_or({owner_column} = (SELECT oid FROM pg_catalog.pg_roles
                                          WHERE rolname = {owner}))
                FILTER (WHERE {column} = {value}), false)
FROM pg_catalog.{catalog} WHERE true{condition}
"""
# Words that mean the current role.
_SELF = frozenset({"current_user", "current_role", "session_user", "default"})


@dataclass(frozen=True, slots=True)
class Catalogs:
    """The catalogs over one connection. Names resolve by its search_path, as in the statement."""

    connection: Connection

    def ask(self, verification: Verification, before: RecordedFacts | None = None) -> CatalogFacts:
        """Return the current answer of the catalogs, or of the author's query.

        ``before`` is what was recorded when the statement began.
        """
        question = verification.question
        if question in {Question.HARMLESS, Question.UNKNOWN}:
            return CatalogFacts()
        if question is Question.AUTHOR:
            return CatalogFacts(is_there=self._ask_author(verification.query or ""))
        values = _write_values(verification, before)
        if question is Question.REINDEXED:
            scope = _SCOPES[verification.kind or Reindexed.TABLE].format(**values)
            return CatalogFacts(
                indexes=self._read_indexes(self._row(_LEFTOVERS.format(scope=scope))[0])
            )
        if question is Question.INDEX_BUILT:
            return self._ask_built(values)
        if question is Question.DETACHED:
            return self._ask_detached(values)
        return self._ask_named(question, values)

    def _ask_built(self, values: dict[str, str]) -> CatalogFacts:
        rows = self._rows(_BUILT.format(indexes=_OF_TABLE, **values))
        if not rows:
            return CatalogFacts()
        table, oid, indexes = rows[0]
        return CatalogFacts(oid=oid, table=table, indexes=self._read_indexes(indexes))

    def _ask_detached(self, values: dict[str, str]) -> CatalogFacts:
        child, parent, is_there, is_attached, is_detaching = self._row(_DETACHED.format(**values))
        return CatalogFacts(
            oid=child,
            table=parent,
            is_there=is_there,
            is_attached=is_attached,
            is_detaching=is_detaching,
        )

    def _ask_named(self, question: Question, values: dict[str, str]) -> CatalogFacts:
        if question is Question.INDEX_DROPPED:
            oid, is_there = self._row(_DROPPED.format(**values))
            return CatalogFacts(oid=oid, is_there=is_there)
        catalog, column, owner_column = _GLOBAL[question]
        query = _NAMED.format(
            catalog=catalog,
            column=column,
            owner_column=owner_column,
            condition=_OF_DATABASE if catalog == "pg_subscription" else "",
            **values,
        )
        oid, is_there, is_ours = self._row(query)
        return CatalogFacts(oid=oid, is_there=is_there, is_ours=is_ours)

    def _read_indexes(self, text: str) -> tuple[Index, ...]:
        return tuple(map(_to_index, json.loads(text)))

    def _ask_author(self, query: str) -> bool:
        """Run the query in a read-only transaction; return whether its one value is true."""
        message = f"BEGIN READ ONLY;\n{query}\n;\nROLLBACK"
        try:
            results = self.connection.send(message, is_watched=True)
        except StatementError:
            self.connection.send("ROLLBACK")
            raise
        answers = [result.rows[0][0] for result in results if result.rows and result.rows[0]]
        return len(answers) == 1 and answers[0] is True

    def _row(self, query: str) -> tuple[Any, ...]:
        return self._rows(query)[0]

    def _rows(self, query: str) -> tuple[tuple[Any, ...], ...]:
        message = f"{OWN_OPERATORS};\n{query}"
        return self.connection.send(message, is_watched=True)[-1].rows


def _write_values(verification: Verification, before: RecordedFacts | None) -> dict[str, str]:
    owner = verification.owner
    is_self = owner is None or owner.lower() in _SELF
    return {
        "name": quote_literal(verification.name),
        "table": quote_literal(verification.table),
        "value": quote_literal(
            None if verification.name is None else fold_identifier(verification.name)
        ),
        "known_oid": quote_literal(None if before is None else before.oid),
        "known_table": quote_literal(None if before is None else before.table),
        "owner": "current_user" if is_self else quote_literal(fold_identifier(owner or "")),
    }


def _to_index(row: list[Any]) -> Index:
    (oid, schema, name, table, is_valid, is_unique, method, is_partial, keys, columns, builder,
     may_drop) = row  # fmt: skip
    shape = IndexShape(is_unique, method, tuple(columns[:keys]), tuple(columns[keys:]), is_partial)
    return Index(oid, schema, name, table, is_valid, shape, builder, may_drop)
