"""The cost of a script grows linearly with its statements: counted, not timed."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.core import token_checksum
from lockgate.core.sql import text as sql_text
from lockgate.postgres.server.connection import Connection
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import MakeDatabase
    from tests.support.project import Project

FEW = 20
# The first run also imports modules.
WARM = 1
OUTSIDE = "-- migrate:up transaction:false\n"
LINE = "-- A line that is long enough to count, in a script that has many of them.\n"


def insert(number: int) -> str:
    """Return a statement whose length does not depend on the number."""
    return f"INSERT INTO t VALUES ({number:06}); {LINE}"


SCRIPTS: dict[str, tuple[str, Callable[[int], str]]] = {
    "statements": ("1_a.sql", lambda n: OUTSIDE + "".join(map(insert, range(n)))),
    "repeatable": ("R__a.sql", lambda n: OUTSIDE + "".join(map(insert, range(n)))),
    "with a down script": (
        "1_a.sql",
        lambda n: OUTSIDE + "".join(map(insert, range(n))) + "-- migrate:down\n" + LINE * n,
    ),
    "alone": ("1_a.sql", lambda n: OUTSIDE + "VACUUM t;\n" * n),
    "copy": (
        "1_a.sql",
        lambda n: OUTSIDE + f"COPY t FROM stdin; {LINE}1\n\\.\n" * n,
    ),
    "blocks": ("1_a.sql", lambda n: OUTSIDE + f"BEGIN; {insert(1)} COMMIT;\n" * n),
}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the characters that a run sends and digests, and the session digests."""
    counts: Counter[str] = Counter()
    send, spell = Connection.send, sql_text.normalize_statement

    def count_sent(connection: Connection, sql: str, *arguments: Any, **others: Any) -> Any:
        counts["sent"] += len(sql)
        counts["session digests"] += sql.count("'script ' ||")
        return send(connection, sql, *arguments, **others)

    def count_digested(sql: str, statement: Any) -> Any:
        counts["digested"] += statement.end - statement.start
        return spell(sql, statement)

    monkeypatch.setattr(Connection, "send", count_sent)
    monkeypatch.setattr(token_checksum, "normalize_statement", count_digested)
    return counts


@pytest.mark.parametrize("kind", SCRIPTS)
def test_script_of_many_statements_costs_what_they_do(
    make_database: MakeDatabase, project: Project, counted: Counter[str], kind: str
) -> None:
    """Four times as many statements send and digest about four times as much, not sixteen times."""
    name, make = SCRIPTS[kind]
    costs: list[Counter[str]] = []
    for count in (FEW, 4 * FEW):
        project.database = make_database()
        project.database.run("CREATE TABLE t (id int)")
        project.write({name: make(count)})
        counted.clear()
        report = project.run()
        assert (Status.APPLIED, None) == (report.status, report.error)
        costs.append(Counter(counted))
    few, many = costs
    assert {"sent", "digested", "session digests"} == few.keys()
    for what in few:
        assert many[what] < 5 * few[what], (kind, what)


def test_memory_for_a_script_of_many_statements_grows_with_their_number(
    make_database: MakeDatabase, project: Project
) -> None:
    """A run keeps no copy of what it has run: eight times the statements need few more bytes."""
    peaks = []
    for count in (WARM, FEW, 8 * FEW):
        project.database = make_database()
        project.database.run("CREATE TABLE t (id int)")
        project.write({"1_a.sql": OUTSIDE + "".join(map(insert, range(count)))})
        tracemalloc.start()
        try:
            assert Status.APPLIED == project.run().status
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    _, few, many = peaks
    # It is 1.3 times now; a copy of the script's beginning for each statement would be 11 times.
    assert many < 3 * few


def test_plain_rows_keep_the_digest_of_the_session(project: Project, counted: Counter[str]) -> None:
    """Plain INSERTs, which cannot change the session, take no session digest, which would be slower."""
    project.database.run("CREATE TABLE t (id int)")
    project.write({"1_a.sql": OUTSIDE + "".join(map(insert, range(FEW)))})
    report = project.run()
    assert (Status.APPLIED, None) == (report.status, report.error)
    assert 1 == counted["session digests"]
