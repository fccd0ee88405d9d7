"""The questions to the catalogs about a statement, and the author's own query."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockgate.core.index_shape import IndexShape
from lockgate.core.sql.script import split_statements
from lockgate.core.verification import (
    HARMLESS,
    UNKNOWN,
    Question,
    Reindexed,
    Verification,
    find_verification,
)

ON_ID = IndexShape(is_unique=False, method="btree", keys=("id",))


def verify(sql: str) -> Verification:
    """Return the question about the last statement of a script."""
    statements = split_statements(sql)
    previous_end = statements[-2].end if len(statements) > 1 else 0
    return find_verification(sql, statements[-1], previous_end)


# Questions.


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "CREATE INDEX CONCURRENTLY i ON t (id)",
            Verification(Question.INDEX_BUILT, name="i", table="t", shape=ON_ID),
        ),
        (
            'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "I" ON ONLY app."T" (id)',
            Verification(
                Question.INDEX_BUILT,
                name='"I"',
                table='app."T"',
                shape=replace(ON_ID, is_unique=True),
            ),
        ),
        (
            "CREATE INDEX CONCURRENTLY ON t (id)",
            Verification(Question.INDEX_BUILT, table="t", shape=ON_ID),
        ),
        (
            'CREATE INDEX CONCURRENTLY ON app.t USING gin ("A", lower(b), (c || d)) INCLUDE (e) WHERE f',
            Verification(
                Question.INDEX_BUILT,
                table="app.t",
                shape=IndexShape(
                    is_unique=False,
                    method="gin",
                    keys=("A", None, None),
                    included=("e",),
                    is_partial=True,
                ),
            ),
        ),
        ("CREATE INDEX CONCURRENTLY ON t", UNKNOWN),
        (
            "DROP INDEX CONCURRENTLY IF EXISTS app.i",
            Verification(Question.INDEX_DROPPED, name="app.i"),
        ),
        (
            "ALTER TABLE IF EXISTS ONLY app.t DETACH PARTITION app.p CONCURRENTLY",
            Verification(Question.DETACHED, name="app.p", table="app.t"),
        ),
        ("CREATE DATABASE d TEMPLATE x", Verification(Question.DATABASE_THERE, name="d")),
        (
            "CREATE DATABASE d WITH OWNER = o",
            Verification(Question.DATABASE_THERE, name="d", owner="o"),
        ),
        ("ALTER SUBSCRIPTION s REFRESH PUBLICATION", HARMLESS),
        ("DROP DATABASE IF EXISTS d", Verification(Question.DATABASE_GONE, name="d")),
        ("CREATE SUBSCRIPTION s", Verification(Question.SUBSCRIPTION_THERE, name="s")),
        ("VACUUM t", HARMLESS),
        ("ALTER SYSTEM SET work_mem = '1GB'", HARMLESS),
        ("CLUSTER t USING i", HARMLESS),
        ("CALL fill()", UNKNOWN),
        ("DO $$ BEGIN COMMIT; END $$", UNKNOWN),
        # The server refuses an invalid statement.
        ("DROP INDEX CONCURRENTLY", UNKNOWN),
        ("CREATE DATABASE", UNKNOWN),
        ("REINDEX CONCURRENTLY t", UNKNOWN),
        ("REINDEX TABLE CONCURRENTLY", UNKNOWN),
    ],
)
def test_question_is_read_off_the_statement(sql: str, expected: Verification) -> None:
    """Names are kept as written; statements are harmless to repeat, unknown, or have a question."""
    assert expected == verify(sql)


@pytest.mark.parametrize(
    ("sql", "kind", "name"),
    [
        ("REINDEX INDEX CONCURRENTLY app.i", Reindexed.INDEX, "app.i"),
        ('reindex (verbose) table concurrently "T"', Reindexed.TABLE, '"T"'),
        ("REINDEX (CONCURRENTLY, TABLESPACE x) SCHEMA app", Reindexed.SCHEMA, "app"),
        ("REINDEX DATABASE CONCURRENTLY", Reindexed.DATABASE, None),
        ("REINDEX DATABASE CONCURRENTLY d", Reindexed.DATABASE, "d"),
        ("REINDEX SYSTEM CONCURRENTLY d", Reindexed.SYSTEM, "d"),
    ],
)
def test_concurrent_reindex_names_what_it_rebuilds(
    sql: str, kind: Reindexed, name: str | None
) -> None:
    """The question names what is rebuilt, because only leftovers of this REINDEX may be dropped."""
    assert Verification(Question.REINDEXED, name=name, kind=kind) == verify(sql)


@pytest.mark.parametrize(
    "sql", ["REINDEX TABLE t", "REINDEX (VERBOSE) SCHEMA app", "REINDEX INDEX i"]
)
def test_plain_reindex_leaves_nothing(sql: str) -> None:
    """A REINDEX without CONCURRENTLY is harmless to repeat and leaves nothing behind."""
    assert HARMLESS == verify(sql)


# The author's own query.


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "marker",
    ["-- migrate:verify", "--migrate:verify", " \t-- MIGRATE:verify ", "--  Migrate:Verify"],
)
def test_query_of_the_author_is_found_as_the_format_finds_markers(marker: str, ending: str) -> None:
    """The marker is found with any line ending, case and space, on one line or several."""
    sql = f"VACUUM;\n{marker} SELECT true\n-- why\n{marker} AND false\nCALL p();"
    expected = Verification(Question.AUTHOR, query="SELECT true AND false")
    assert expected == verify(sql.replace("\n", ending))


@pytest.mark.parametrize(
    "sql",
    [
        "CALL p(); -- migrate:verify SELECT 1",
        "-- migrate:verify SELECT 1\nVACUUM; CALL p()",
        "VACUUM; -- migrate:verify SELECT 1\nCALL p()",
        "VACUUM -- migrate:verify SELECT 1\n; CALL p()",
        "-- see migrate:verify SELECT 1\nCALL p()",
        "-- migrate:verify\nCALL p()",
    ],
)
def test_query_counts_on_its_own_line_above_the_statement(sql: str) -> None:
    """Elsewhere than on its own line above the statement, the marker has no effect."""
    assert UNKNOWN == verify(sql)
