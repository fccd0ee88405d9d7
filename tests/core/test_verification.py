"""What is asked of the catalogs about a statement, and what an answer means."""

from __future__ import annotations

import pytest

from lockgate.core.sql import split_statements
from lockgate.core.verification import (
    HARMLESS,
    UNKNOWN,
    Found,
    Question,
    Reindexed,
    Verdict,
    Verification,
    decide,
    find_verification,
)


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
            Verification(Question.INDEX_BUILT, name="i", table="t"),
        ),
        (
            'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "I" ON ONLY app."T" (id)',
            Verification(Question.INDEX_BUILT, name='"I"', table='app."T"'),
        ),
        ("CREATE INDEX CONCURRENTLY ON t (id)", UNKNOWN),
        (
            "DROP INDEX CONCURRENTLY IF EXISTS app.i",
            Verification(Question.INDEX_DROPPED, name="app.i"),
        ),
        (
            "ALTER TABLE IF EXISTS ONLY app.t DETACH PARTITION app.p CONCURRENTLY",
            Verification(Question.DETACHED, name="app.p", table="app.t"),
        ),
        ("CREATE DATABASE d TEMPLATE x", Verification(Question.DATABASE_THERE, name="d")),
        ("DROP DATABASE IF EXISTS d", Verification(Question.DATABASE_GONE, name="d")),
        ("CREATE SUBSCRIPTION s", Verification(Question.SUBSCRIPTION_THERE, name="s")),
        ("VACUUM t", HARMLESS),
        ("ALTER SYSTEM SET work_mem = '1GB'", HARMLESS),
        ("CLUSTER t USING i", HARMLESS),
        ("CALL fill()", UNKNOWN),
        ("DO $$ BEGIN COMMIT; END $$", UNKNOWN),
        # A broken statement is the server's to refuse.
        ("DROP INDEX CONCURRENTLY", UNKNOWN),
        ("CREATE DATABASE", UNKNOWN),
        ("REINDEX CONCURRENTLY t", UNKNOWN),
        ("REINDEX TABLE CONCURRENTLY", UNKNOWN),
    ],
)
def test_question_is_read_off_the_statement(sql: str, expected: Verification) -> None:
    """Names are as written; what can be said again is harmless, what no catalog knows is unknown."""
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
    """Only its own leftovers may be dropped, so the question says which those are."""
    assert Verification(Question.REINDEXED, name=name, kind=kind) == verify(sql)


@pytest.mark.parametrize(
    "sql", ["REINDEX TABLE t", "REINDEX (VERBOSE) SCHEMA app", "REINDEX INDEX i"]
)
def test_reindex_that_is_not_concurrent_leaves_nothing(sql: str) -> None:
    """It may be said again, and there is nothing of it to drop."""
    assert HARMLESS == verify(sql)


# The author's own query.


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "marker",
    ["-- migrate:verify", "--migrate:verify", " \t-- MIGRATE:verify ", "--  Migrate:Verify"],
)
def test_query_of_the_author_is_found_as_the_format_finds_markers(marker: str, ending: str) -> None:
    """Over every line ending, in capitals and with space, on one line or several."""
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
def test_query_counts_on_a_line_of_its_own_above_the_statement(sql: str) -> None:
    """Elsewhere it is a comment, or belongs to another statement."""
    assert UNKNOWN == verify(sql)


# Answers.


@pytest.mark.parametrize(
    ("question", "found", "was_begun", "verdict"),
    [
        (Question.INDEX_BUILT, Found(), False, Verdict.RUN),
        (Question.INDEX_BUILT, Found(is_there=True), False, Verdict.RUN),
        (Question.INDEX_BUILT, Found(is_there=True), True, Verdict.DONE),
        (Question.INDEX_BUILT, Found(), True, Verdict.RUN),
        (Question.INDEX_BUILT, Found(is_there=True, is_broken=True), True, Verdict.CLEAN),
        (Question.INDEX_BUILT, Found(is_broken=True, builder=7), True, Verdict.WAIT),
        (Question.INDEX_DROPPED, Found(), True, Verdict.DONE),
        (Question.INDEX_DROPPED, Found(is_there=True), True, Verdict.RUN),
        (Question.DETACHED, Found(is_there=True, is_broken=True), True, Verdict.FINALIZE),
        (Question.DETACHED, Found(), True, Verdict.DONE),
        (Question.REINDEXED, Found(is_broken=True), False, Verdict.RUN),
        (Question.REINDEXED, Found(is_broken=True), True, Verdict.CLEAN),
        (Question.REINDEXED, Found(), True, Verdict.RUN),
        (Question.HARMLESS, Found(), True, Verdict.RUN),
        (Question.UNKNOWN, Found(), False, Verdict.RUN),
        (Question.UNKNOWN, Found(), True, Verdict.CANNOT_KNOW),
        (Question.AUTHOR, Found(is_there=True), True, Verdict.DONE),
        (Question.AUTHOR, Found(), True, Verdict.RUN),
        (Question.AUTHOR, Found(is_there=True), False, Verdict.RUN),
    ],
)
def test_answer_says_what_to_do(
    *, question: Question, found: Found, was_begun: bool, verdict: Verdict
) -> None:
    """A statement that nobody began is run; one that was begun is done, said again or asked about."""
    assert verdict == decide(question, found, was_begun=was_begun)
