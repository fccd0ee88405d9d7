"""Compare with a real server: refusals in a transaction block, and the number of commands.

Run it with ``--postgres-root`` for every major version. A case names the first version that
supports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pg8000.native import Connection, DatabaseError

from lockgate.core.sql.script import Control, Transactionality, classify, split_statements

if TYPE_CHECKING:
    from tests.support.database import Database

ACTIVE_TRANSACTION = "25001"
INVALID_TERMINATION = "2D000"
NO_ERROR = ""

SETUP = """
CREATE TABLE t (a int PRIMARY KEY, b text);
CREATE INDEX ti ON t (b);
CREATE TABLE p (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE INDEX pi ON p (a);
CREATE MATERIALIZED VIEW mv AS SELECT a FROM t;
CREATE UNIQUE INDEX mvi ON mv (a);
CREATE TYPE e AS ENUM ('x');
CREATE PROCEDURE plain() LANGUAGE plpgsql AS $$BEGIN PERFORM 1; END$$;
CREATE PROCEDURE committing() LANGUAGE plpgsql AS $$BEGIN COMMIT; END$$;
CREATE PUBLICATION pub FOR TABLE t;
CREATE SUBSCRIPTION off CONNECTION 'port=1' PUBLICATION pub WITH (connect = false);
CREATE SUBSCRIPTION sub CONNECTION 'port=1' PUBLICATION pub WITH (connect = false);
ALTER SUBSCRIPTION sub ENABLE;
"""
TEARDOWN = """
ALTER SUBSCRIPTION {0} DISABLE;
ALTER SUBSCRIPTION {0} SET (slot_name = NONE);
DROP SUBSCRIPTION {0};
"""

# Statement, and the first major version that supports it.
CORPUS = [
    ("CREATE INDEX ON t (b)", 14),
    ('CREATE INDEX "concurrently" ON t (b)', 14),
    ("CREATE INDEX CONCURRENTLY ON t (b)", 14),
    ("CREATE /* a */ UNIQUE INDEX -- b\n CONCURRENTLY IF NOT EXISTS ti ON t (b)", 14),
    ("DROP INDEX ti", 14),
    ("DROP INDEX CONCURRENTLY IF EXISTS nothing", 14),
    ("REINDEX TABLE t", 14),
    ("REINDEX (VERBOSE) INDEX ti", 14),
    ("REINDEX INDEX CONCURRENTLY ti", 14),
    ("REINDEX (CONCURRENTLY) TABLE t", 14),
    ("REINDEX (VERBOSE, CONCURRENTLY on) TABLE t", 14),
    ("REINDEX (CONCURRENTLY 1) TABLE t", 14),
    ("REINDEX (CONCURRENTLY 'TRUE') TABLE t", 14),
    ("REINDEX (CONCURRENTLY false) TABLE t", 14),
    ("REINDEX (CONCURRENTLY 'Off') TABLE t", 14),
    ("REINDEX (CONCURRENTLY, CONCURRENTLY 0) TABLE t", 14),
    ("REINDEX (CONCURRENTLY 0, CONCURRENTLY) TABLE t", 14),
    ("REINDEX (CONCURRENTLY false) TABLE CONCURRENTLY t", 14),
    ('REINDEX ("concurrently") TABLE t', 14),
    ("REINDEX SCHEMA public", 14),
    ("REINDEX DATABASE", 16),
    ("REINDEX (VERBOSE) SYSTEM", 16),
    ("VACUUM", 14),
    ("VACUUM FULL t", 14),
    ("VACUUM (ANALYZE) t", 14),
    ("ANALYZE t", 14),
    ("CLUSTER", 14),
    ("CLUSTER VERBOSE", 14),
    ("CLUSTER (VERBOSE)", 17),
    ("CLUSTER t USING ti", 14),
    ("CLUSTER VERBOSE t USING ti", 14),
    ("CLUSTER (VERBOSE) t USING ti", 14),
    ("ALTER TABLE p DETACH PARTITION p1", 14),
    ("ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY", 14),
    ("ALTER TABLE IF EXISTS ONLY p DETACH PARTITION public.p1 CONCURRENTLY", 14),
    ("CREATE DATABASE d", 14),
    ("DROP DATABASE IF EXISTS nothing", 14),
    ("ALTER DATABASE postgres SET TABLESPACE pg_default", 14),
    ("ALTER DATABASE postgres TABLESPACE pg_default", 14),
    ("ALTER DATABASE postgres WITH TABLESPACE pg_default", 14),
    ("ALTER DATABASE postgres SET work_mem = '4MB'", 14),
    ("ALTER DATABASE postgres CONNECTION LIMIT 90", 14),
    ("ALTER DATABASE postgres REFRESH COLLATION VERSION", 15),
    ("CREATE TABLESPACE s LOCATION '/nowhere'", 14),
    ("DROP TABLESPACE IF EXISTS nothing", 14),
    ("ALTER TABLESPACE pg_default RESET (seq_page_cost)", 14),
    ("ALTER SYSTEM SET work_mem = '5MB'", 14),
    ("ALTER SYSTEM RESET ALL", 14),
    ("CREATE SUBSCRIPTION s CONNECTION 'port=1' PUBLICATION pub", 14),
    ("CREATE SUBSCRIPTION s CONNECTION 'port=1' PUBLICATION pub WITH (enabled = false)", 14),
    ("CREATE SUBSCRIPTION s CONNECTION 'port=1' PUBLICATION pub WITH (connect = 'false')", 14),
    ("CREATE SUBSCRIPTION s CONNECTION 'port=1' PUBLICATION pub WITH (create_slot)", 14),
    ("ALTER SUBSCRIPTION sub REFRESH PUBLICATION WITH (copy_data = false)", 14),
    ("ALTER SUBSCRIPTION sub SET PUBLICATION pub", 14),
    ("ALTER SUBSCRIPTION sub SET PUBLICATION pub WITH (copy_data = false)", 14),
    ("ALTER SUBSCRIPTION sub SET PUBLICATION pub WITH (refresh = off)", 14),
    ("ALTER SUBSCRIPTION sub ADD PUBLICATION more", 14),
    ("ALTER SUBSCRIPTION sub ADD PUBLICATION more WITH (refresh = false)", 14),
    ("ALTER SUBSCRIPTION off SET (failover = true)", 17),
    ("ALTER SUBSCRIPTION off SET (two_phase = false)", 18),
    ("ALTER SUBSCRIPTION off SET (two_phase = true)", 18),
    ("ALTER SUBSCRIPTION sub SET (binary = true)", 14),
    ("ALTER SUBSCRIPTION sub DISABLE", 14),
    ("DROP SUBSCRIPTION off", 14),
    ("COMMIT PREPARED 'x'", 14),
    ("ROLLBACK PREPARED 'x'", 14),
    ("DISCARD ALL", 14),
    ("DISCARD PLANS", 14),
    ("DISCARD TEMP", 14),
    ("CALL plain()", 14),
    ("DO $$BEGIN PERFORM 1; END$$", 14),
    ("DO $$BEGIN COMMIT; END$$", 14),
    ("DO 'BEGIN IF true THEN ROLLBACK AND CHAIN; END IF; END' LANGUAGE plpgsql", 14),
    ("DO $$DECLARE commit int; BEGIN SELECT 1 INTO commit; END$$", 14),
    ("DO $$BEGIN PERFORM 'x; commit;'; /* ; COMMIT; */ END$$", 14),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY mv", 14),
    ("ALTER TYPE e ADD VALUE 'y'", 14),
    ("CHECKPOINT", 14),
    ("NOTIFY x", 14),
    ("SET work_mem = '4MB'", 14),
    ("SET LOCAL work_mem = '4MB'", 14),
    ("RESET ALL", 14),
    ("SELECT set_config('work_mem', '4MB', false)", 14),
    ("PREPARE transaction AS SELECT 1", 14),
    ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 end; SELECT 2 AS end; END", 14),
]

# Only the server can know these; the classifier treats them as shared.
KNOWN_TO_THE_SERVER_ONLY = {
    "REINDEX TABLE p": ("the table is partitioned", 14),
    "REINDEX INDEX pi": ("the index is partitioned", 14),
    "CLUSTER p USING pi": ("the table is partitioned", 15),
    "CALL committing()": ("the procedure commits", 14),
    "DO $$BEGIN CALL committing(); END$$": ("the procedure commits", 14),
}


@pytest.fixture
def prepared(database: Database) -> Database:
    """Give a database with one object of each kind. The test drops its subscriptions."""
    connection = database.connect()
    for statement in split_statements(SETUP):
        connection.run(SETUP[statement.start : statement.end])
    return database


def run_in_transaction(connection: Connection, sql: str) -> str:
    """Run a statement in a transaction block, roll back, and return the SQLSTATE."""
    connection.run("BEGIN")
    try:
        connection.execute_simple(sql)
    except DatabaseError as error:
        return str(error.args[0]["C"])
    finally:
        connection.run("ROLLBACK")
    return NO_ERROR


def major_version(connection: Connection) -> int:
    """Return the server's major version, 14 to 18."""
    ((number,),) = connection.run("SHOW server_version_num")
    return int(number) // 10_000


def is_alone(sql: str) -> bool:
    """Return whether the classifier says that the last statement runs alone."""
    found = classify(sql, split_statements(sql)[-1])
    return found.transactionality is Transactionality.ALONE


def drop_subscriptions(database: Database) -> None:
    """Drop the subscriptions: a database that has one cannot be dropped."""
    connection = database.connect()
    for name in ("off", "sub"):
        teardown = TEARDOWN.format(name)
        for statement in split_statements(teardown):
            connection.run(teardown[statement.start : statement.end])


def test_classifier_agrees_with_the_server(prepared: Database) -> None:
    """A statement is classified as alone exactly if the server refuses it in a transaction block."""
    connection = prepared.connect()
    version = major_version(connection)
    cases = [sql for sql, since in CORPUS if since <= version]
    states = {sql: run_in_transaction(connection, sql) for sql in cases}
    drop_subscriptions(prepared)
    refusals = {ACTIVE_TRANSACTION, INVALID_TERMINATION}
    assert {sql: is_alone(sql) for sql in cases} == {
        sql: state in refusals for sql, state in states.items()
    }
    assert {sql: state for sql, state in states.items() if state not in {NO_ERROR, *refusals}} == {}


def test_some_refusals_come_only_from_the_server(prepared: Database) -> None:
    """Some statements depend on a table or procedure: classified as shared, refused by the server."""
    connection = prepared.connect()
    version = major_version(connection)
    cases = [sql for sql, (_, since) in KNOWN_TO_THE_SERVER_ONLY.items() if since <= version]
    states = {run_in_transaction(connection, sql) for sql in cases}
    drop_subscriptions(prepared)
    assert states == {ACTIVE_TRANSACTION, INVALID_TERMINATION}
    assert not any(is_alone(sql) for sql in cases)


CONTROLS = [
    ("BEGIN", Control.BEGIN),
    ("START TRANSACTION READ ONLY", Control.BEGIN),
    ("COMMIT", Control.COMMIT),
    ("END TRANSACTION", Control.COMMIT),
    ("COMMIT AND NO CHAIN", Control.COMMIT),
    ("COMMIT WORK AND CHAIN", Control.CHAIN),
    ("ROLLBACK", Control.ROLLBACK),
    ("ABORT", Control.ROLLBACK),
    ("ROLLBACK AND CHAIN", Control.CHAIN),
    ("SAVEPOINT s", Control.SAVEPOINT),
    ("RELEASE s0", Control.SAVEPOINT),
    ("ROLLBACK TO s0", Control.SAVEPOINT),
]
IDLE, IN_TRANSACTION = b"I", b"T"
STATUS_AFTER = {
    Control.BEGIN: IN_TRANSACTION,
    Control.COMMIT: IDLE,
    Control.ROLLBACK: IDLE,
    Control.CHAIN: IN_TRANSACTION,
    Control.SAVEPOINT: IN_TRANSACTION,
}


@pytest.mark.parametrize(("sql", "control"), CONTROLS)
def test_control_statement_leaves_the_session_as_its_kind_states(
    database: Database, sql: str, control: Control
) -> None:
    """After each kind of control, the session is in a transaction, or not, as the kind promises."""
    connection = database.connect()
    connection.run("BEGIN")
    connection.run("SAVEPOINT s0")
    connection.run(sql)
    assert classify(sql, split_statements(sql)[0]).control is control
    assert STATUS_AFTER[control] == connection._transaction_status


SCRIPTS = [
    "SELECT 1; SELECT 2;; ; SELECT ';'",
    "/* a /* ; */ */ SELECT 1 -- ;\n; SELECT $a$ ; $b$ $a$; DO $$BEGIN PERFORM ';'; END$$",
    "SELECT 'a' -- ';'\n ';b'; SELECT E'\\';'; SELECT U&'\\0041;'; SELECT B'1'\n'0'",
    'CREATE TABLE "a;""b" ("c;" int); INSERT INTO "a;""b" VALUES (1), (2); DROP TABLE "a;""b"',
    """
    CREATE TABLE t (a int); CREATE TABLE u (a int);
    CREATE RULE r AS ON INSERT TO t DO (INSERT INTO u VALUES (1); NOTIFY x);
    INSERT INTO t VALUES (1)
    """,
    """
    CREATE FUNCTION f() RETURNS int
        BEGIN ATOMIC SELECT 1 end; SELECT CASE WHEN true THEN 1 END; END; SELECT f();
    CREATE PROCEDURE p() BEGIN ATOMIC END; CALL p();
    """,
    "CREATE FUNCTION g(begin int) RETURNS int AS 'BEGIN RETURN 1; END' LANGUAGE plpgsql; SELECT 1",
    "BEGIN; SAVEPOINT a; SELECT 1 end; END; SELECT 1 \u00a0; SELECT 1 AS é$a$, 2 AS b",
    "SELECT 1 */* ; */ 2; SELECT 1;\r\nSELECT 2;\rSELECT 3 -- ;\r; SELECT 4",
]


@pytest.mark.parametrize("sql", SCRIPTS)
def test_server_counts_the_statements_that_the_splitter_finds(database: Database, sql: str) -> None:
    """A script sent as one message is answered with one command tag per statement."""
    counted = TagCounter(database.connect())
    assert counted.run(sql) == len(split_statements(sql))


class TagCounter:
    """Counts the CommandComplete messages in the answer to a text."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tags = 0
        self._complete = connection.handle_COMMAND_COMPLETE

    def run(self, sql: str) -> int:
        """Send a text as one message and return the number of tags in the answer."""

        def count(data: bytes, context: object) -> None:
            self._tags += 1
            self._complete(data, context)

        handlers = self._connection.message_types
        code = next(key for key, handler in handlers.items() if handler == self._complete)
        handlers[code] = count
        self._connection.execute_simple(sql)
        return self._tags
