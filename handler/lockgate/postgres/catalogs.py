"""The server's catalogs, asked whether a statement outside a transaction is done.

Knows the queries. What the answers mean is `core.verification`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockgate.core.verification import (
    Found,
    Question,
    Reindexed,
    Verification,
    identifier_value,
)
from lockgate.postgres.connection import StatementError
from lockgate.postgres.look import OWN_OPERATORS
from lockgate.postgres.quoting import quote_identifier, quote_literal
from lockgate.value import dataclass

if TYPE_CHECKING:
    from lockgate.postgres.connection import Connection

# An index has its table's schema; a name in CREATE INDEX is never qualified.
_INDEX = """
SELECT i.indisvalid, c.oid::bigint,
       (SELECT p.pid FROM pg_catalog.pg_stat_progress_create_index AS p
        WHERE p.index_relid = c.oid AND p.pid <> pg_catalog.pg_backend_pid() LIMIT 1)
FROM pg_catalog.pg_class AS t
JOIN pg_catalog.pg_class AS c ON c.relnamespace = t.relnamespace AND c.relname = {name}
JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid AND i.indrelid = t.oid
WHERE t.oid = pg_catalog.to_regclass({table})::pg_catalog.oid
"""

# What a broken REINDEX CONCURRENTLY leaves (manual, REINDEX, "Rebuilding Indexes Concurrently") of
# the indexes that it was about.
_LEFTOVERS = """
SELECT n.nspname, c.relname
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relname::pg_catalog.text ~ '_cc(new|old)[0-9]*$'
  AND n.nspname <> 'pg_toast'
  AND {scope} AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p
                  WHERE p.relid = i.indrelid AND p.pid <> pg_catalog.pg_backend_pid())
"""

_SCOPES = {
    Reindexed.INDEX: (
        "i.indrelid = (SELECT indrelid FROM pg_catalog.pg_index"
        " WHERE indexrelid = pg_catalog.to_regclass({name})::pg_catalog.oid)"
    ),
    Reindexed.TABLE: "i.indrelid = pg_catalog.to_regclass({name})::pg_catalog.oid",
    Reindexed.SCHEMA: "n.nspname = {value}",
    Reindexed.DATABASE: "true",
    Reindexed.SYSTEM: "true",
}

_INVALID = """
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class AS t
JOIN pg_catalog.pg_class AS c ON c.relnamespace = t.relnamespace AND c.relname = {name}
JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid AND i.indrelid = t.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE t.oid = pg_catalog.to_regclass({table})::pg_catalog.oid AND NOT i.indisvalid
"""

_DETACHING = """
SELECT inhdetachpending FROM pg_catalog.pg_inherits
WHERE inhparent = pg_catalog.to_regclass({table})::pg_catalog.oid
  AND inhrelid = pg_catalog.to_regclass({name})::pg_catalog.oid
"""

_EXISTS = {
    Question.DATABASE_THERE: "SELECT count(*) > 0 FROM pg_catalog.pg_database WHERE datname = {value}",
    Question.TABLESPACE_THERE: (
        "SELECT count(*) > 0 FROM pg_catalog.pg_tablespace WHERE spcname = {value}"
    ),
    Question.SUBSCRIPTION_THERE: (
        "SELECT count(*) > 0 FROM pg_catalog.pg_subscription WHERE subname = {value}"
        " AND subdbid = (SELECT oid FROM pg_catalog.pg_database"
        " WHERE datname = pg_catalog.current_database())"
    ),
}
_EXISTS[Question.DATABASE_GONE] = _EXISTS[Question.DATABASE_THERE]
_EXISTS[Question.TABLESPACE_GONE] = _EXISTS[Question.TABLESPACE_THERE]
_EXISTS[Question.SUBSCRIPTION_GONE] = _EXISTS[Question.SUBSCRIPTION_THERE]


_BY_OID = "SELECT 1 FROM pg_catalog.pg_class WHERE oid = {oid}"


@dataclass(frozen=True, slots=True)
class Catalogs:
    """One connection's view. Names resolve by its search_path, as the statement's own do."""

    connection: Connection

    def ask(self, verification: Verification, known_oid: int | None = None) -> Found:
        """Return what the catalogs, or the author's query, say now.

        ``known_oid`` is the object that the statement was about when it was begun.
        """
        question = verification.question
        if question in {Question.HARMLESS, Question.UNKNOWN}:
            return Found()
        if question is Question.AUTHOR:
            return Found(is_there=self._ask_author(verification.query or ""))
        if question is Question.REINDEXED:
            return Found(is_broken=bool(self.find_broken(verification)))
        return self._ask_by_name(verification, known_oid)

    def _ask_by_name(self, verification: Verification, known_oid: int | None) -> Found:
        question = verification.question
        values = {
            "name": quote_literal(verification.name),
            "table": quote_literal(verification.table),
            "value": quote_literal(identifier_value(verification.name or "")),
        }
        if question is Question.INDEX_BUILT:
            return self._ask_built(values, known_oid)
        if question is Question.INDEX_DROPPED:
            return self._ask_dropped(values["name"], known_oid)
        if question is Question.DETACHED:
            return self._ask_detached(values)
        return Found(is_there=bool(self._rows(_EXISTS[question].format(**values))[0][0]))

    def find_broken(self, verification: Verification) -> list[str]:
        """Return the invalid indexes to drop, qualified and quoted."""
        name = quote_literal(verification.name)
        value = quote_literal(identifier_value(verification.name or ""))
        if verification.kind is not None:
            scope = _SCOPES[verification.kind].format(name=name, value=value)
            query = _LEFTOVERS.format(scope=scope)
        else:
            query = _INVALID.format(name=value, table=quote_literal(verification.table))
        rows = self._rows(query)
        return [f"{quote_identifier(row[0])}.{quote_identifier(row[1])}" for row in rows]

    def _ask_built(self, values: dict[str, str], known_oid: int | None) -> Found:
        rows = self._rows(_INDEX.format(name=values["value"], table=values["table"]))
        if not rows:
            return Found()
        is_valid, oid, builder = rows[0]
        # One that stood there before the statement was begun is not its work.
        is_there = oid != known_oid
        return Found(is_there=is_there, is_broken=not is_valid, builder=builder, oid=oid)

    def _ask_detached(self, values: dict[str, str]) -> Found:
        rows = self._rows(_DETACHING.format(**values))
        return Found(is_there=bool(rows), is_broken=bool(rows) and bool(rows[0][0]))

    def _ask_dropped(self, name: str, known_oid: int | None) -> Found:
        """Ask about the very index that was meant: another of its name may stand behind it."""
        if known_oid is not None:
            rows = self._rows(_BY_OID.format(oid=known_oid))
            return Found(is_there=bool(rows), oid=known_oid)
        oid = self._rows(f"SELECT pg_catalog.to_regclass({name})::pg_catalog.oid::bigint")[0][0]
        return Found(is_there=oid is not None, oid=oid)

    def _ask_author(self, query: str) -> bool:
        """Ask in a transaction that cannot write, and take the first value of the first row."""
        message = f"BEGIN READ ONLY;\n{query}\n;\nROLLBACK"
        try:
            results = self.connection.send(message, is_watched=True)
        except StatementError:
            self.connection.send("ROLLBACK")
            raise
        answers = [result.rows[0][0] for result in results if result.rows and result.rows[0]]
        return len(answers) == 1 and answers[0] is True

    def _rows(self, query: str) -> tuple[tuple[Any, ...], ...]:
        message = f"{OWN_OPERATORS};\n{query}"
        return self.connection.send(message, is_watched=True)[-1].rows
