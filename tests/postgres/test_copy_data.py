r"""Inline data of COPY … FROM stdin is applied as psql applies it, anywhere in the script."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.support.layouts import Step, lay_out

from lockgate.core.request import Action
from lockgate.formats.names import list_formats
from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeDatabase
    from tests.support.database import Database
    from tests.support.project import Project

TABLE = "CREATE TABLE IF NOT EXISTS t (id int, x text);\n"
COPY = "COPY t FROM stdin;\n"
DATA = "1\ta;b\n2\t'\n3\t\\N\n\\.\n"
INSERT = "INSERT INTO t VALUES (9, 'last');\n"
DUMP = f"""--
-- PostgreSQL database dump
--
\\restrict abcDEF123

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.t (
    id integer,
    x text
);


COPY public.t (id, x) FROM stdin;
{DATA}

--
ALTER TABLE ONLY public.t ADD CONSTRAINT t_key UNIQUE (id);

\\unrestrict abcDEF123
"""
SCRIPTS = {
    "between": TABLE + COPY + DATA + INSERT,
    "last": TABLE + COPY + DATA,
    "first": COPY + DATA + INSERT,
    "alone": COPY + DATA,
    "first, behind a comment": "-- why\n" + COPY + DATA + INSERT,
    "several": TABLE + (COPY + DATA) * 3 + INSERT,
    "several and nothing else": (COPY + DATA) * 2,
    "empty": TABLE + COPY + "\\.\n" + INSERT,
    "empty and last": TABLE + COPY + "\\.\n",
    "comment behind": TABLE + "COPY t FROM stdin; -- data\n" + DATA + INSERT,
    "comment inside": TABLE + "COPY t /* ; */ (id, -- (\n x) FROM\n STDIN\n;\n" + DATA + INSERT,
    "own block": "BEGIN;\n" + TABLE + COPY + DATA + "COMMIT;\n",
    "own block, first": "BEGIN;\n" + COPY + DATA + INSERT + "COMMIT;\n",
    "own blocks": "BEGIN;\n" + TABLE + COPY + DATA + "COMMIT;\nBEGIN;\n" + COPY + DATA + "END;\n",
    "block and behind": "BEGIN;\n" + TABLE + COPY + DATA + "COMMIT;\n" + COPY + DATA + INSERT,
    "before a block": TABLE + COPY + DATA + "BEGIN;\n" + INSERT + COPY + DATA + "COMMIT;",
    "savepoint": "BEGIN;\nSAVEPOINT a;\n" + COPY + DATA + "RELEASE a;\nCOMMIT;\n",
    "CSV": TABLE
    + 'COPY t FROM stdin WITH (FORMAT csv, HEADER);\nid,x\n1,"a;\n\'b"\n2,\n\\.\n'
    + INSERT,
    "delimiter": TABLE + "COPY t FROM stdin (DELIMITER ';');\n1;a\n\\.\n" + INSERT,
    "condition": TABLE + "COPY t FROM stdin WHERE id > 1;\n" + DATA,
    "old options": TABLE + "COPY t FROM stdin WITH DELIMITER AS '|' NULL '';\n1|a\n2|\n\\.\n",
    "FROM STDOUT": TABLE + "COPY t FROM STDOUT;\n" + DATA,
    "carriage returns": (TABLE + COPY + "1\ta\n2\tb\n\\.\n" + INSERT).replace("\n", "\r\n"),
    "letters beyond ASCII": TABLE + COPY + "1\tgrößer\n2\t🐘\n\\.\n" + INSERT,
    "FROM PROGRAM": TABLE + "COPY t FROM PROGRAM 'printf \"1\\ta\\n\"';\n" + INSERT,
    "TO STDOUT": TABLE + INSERT + "COPY t TO STDOUT;\n" + INSERT,
    "table called stdin": 'CREATE TABLE "stdin" (LIKE t);\nCOPY "stdin" FROM stdin;\n'
    + DATA
    + INSERT,
    "restrict in data": TABLE + COPY + "1\t\\\\restrict a\n\\.\n" + INSERT,
    "markers in data": TABLE + COPY + "1\t-- migrate:verify x\n\\.\n" + INSERT,
    "pg_dump": DUMP,
    "concurrently behind": TABLE + COPY + DATA + "CREATE INDEX CONCURRENTLY i ON t (id);\n",
}
HEADS = {"": "own way", "-- migrate:up transaction:false\n": "transaction:false"}
SHOW = "SELECT json_agg(t ORDER BY id, x)::text FROM public.t"


def show(database: Database) -> str:
    """Return all rows and the schema."""
    rows = database.run(SHOW)[0][0]
    return f"{rows}\n{database.dump()}"


def run_psql(database: Database, script: Path) -> None:
    """Run a script with psql, stopping at its first error."""
    server = database.server
    assert server.psql is not None
    assert server.ca_file is not None
    environment = {
        **os.environ,
        "PGPASSWORD": server.password,
        # Before PostgreSQL 15, libpq cannot match an IP address in a certificate.
        "PGSSLMODE": "verify-ca",
        "PGSSLROOTCERT": str(server.ca_file),
    }
    place = ("-h", server.host, "-p", str(server.port), "-U", server.user, "-d", database.name)
    subprocess.run(
        [str(server.psql), "-Xqv", "ON_ERROR_STOP=1", *place, "-f", str(script)],
        env=environment,
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def needs_psql(server: object) -> None:
    """Skip if the server comes without psql."""
    if getattr(server, "psql", None) is None:
        pytest.skip("there is no psql")


@pytest.mark.usefixtures("needs_psql")
@pytest.mark.parametrize("head", HEADS, ids=HEADS.values())
@pytest.mark.parametrize("kind", SCRIPTS)
def test_copy_data_is_applied_as_by_psql(
    make_database: MakeDatabase, project: Project, tmp_path: Path, kind: str, head: str
) -> None:
    """Rows and schema equal those that psql produces, with and without a transaction."""
    text = SCRIPTS[kind]
    if "CONCURRENTLY" in text and not head:
        pytest.skip("such a file has to say transaction:false")
    other = make_database()
    for database in (project.database, other):
        if "CREATE TABLE public.t" not in text:
            database.run("CREATE TABLE t (id int, x text)")
    (tmp_path / "script.sql").write_bytes(text.encode())
    run_psql(other, tmp_path / "script.sql")
    project.write({"1_a.sql": head + text})
    report = project.run()
    assert (Status.APPLIED, None) == (report.status, report.error)
    assert show(other) == show(project.database)


@pytest.mark.parametrize("head", HEADS, ids=HEADS.values())
def test_copy_data_can_end_with_the_file(project: Project, head: str) -> None:
    """A last data line without a newline ends the data, where psql would fail."""
    project.write({"1_a.sql": head + (TABLE + COPY + DATA).rstrip("\n")})
    assert project.run().status is Status.APPLIED
    assert [[3]] == project.database.run("SELECT count(*) FROM t")


BODIES = {
    "blocks": SCRIPTS["own blocks"],
    "statements": SCRIPTS["between"],
    "pg_dump": DUMP,
}
ROWS = {"blocks": 6, "pg_dump": 3, "statements": 4}
# In these formats a file that must be outside of a transaction has a single statement.
ALONE_ONLY = {"knex", "node-pg-migrate", "prisma"}
# alembic's migrations are Python, and its driver takes no data below a COPY.
IN_SQL = sorted({*list_formats()} - {"alembic"})


@pytest.mark.parametrize("name", IN_SQL)
def test_copy_data_is_applied_in_every_format(project: Project, name: str) -> None:
    """Every format applies the copied rows, in a transaction and outside of one."""
    bodies = [(kind, text, way) for way in (False, True) for kind, text in BODIES.items()]
    if name not in ALONE_ONLY:
        bodies.append(("statements", SCRIPTS["between"] + "VACUUM t;\n", True))
    if name == "goose":
        # It refuses what follows the last semicolon.
        bodies = [
            (kind, re.sub(r"(?m)^\\(un)?restrict .*\n", "", t), way) for kind, t, way in bodies
        ]
    # Each has a table of its own, so that one database will do.
    steps = [
        Step(re.sub(r"\bt(?=\b|_)", f"t{number}", text), is_outside=is_outside)
        for number, (_, text, is_outside) in enumerate(bodies)
    ]
    project.settings["LOCKGATE_FORMAT"] = name
    project.write(lay_out(name, *steps))
    report = project.run()
    assert (Status.APPLIED, None) == (report.status, report.error)
    counts = ", ".join(f"(SELECT count(*) FROM public.t{n})" for n in range(len(steps)))
    assert [[ROWS[kind] for kind, _, _ in bodies]] == project.database.run(f"SELECT {counts}")


PSQL = {
    "lone COMMIT": TABLE + "COMMIT;\n" + INSERT,
    "lone COMMIT at the end": TABLE + INSERT + "COMMIT;\n",
    "\\copy": TABLE + "\\copy t from stdin\n" + DATA + INSERT,
    "\\copy with options": TABLE + "\\copy t (id, x) from stdin with (format csv)\n1,a\n\\.\n",
    "\\copy in a transaction": f"BEGIN;\n{TABLE}\\copy t from stdin\n{DATA}COMMIT;\n{INSERT}",
}


@pytest.mark.usefixtures("needs_psql")
@pytest.mark.parametrize("kind", PSQL)
def test_script_of_sqitch_is_applied_as_by_psql(
    make_database: MakeDatabase, project: Project, tmp_path: Path, kind: str
) -> None:
    r"""A lone COMMIT and ``\copy`` with its data below have the effect that they have in psql."""
    other = make_database()
    (tmp_path / "script.sql").write_text(PSQL[kind])
    run_psql(other, tmp_path / "script.sql")
    project.settings["LOCKGATE_FORMAT"] = "sqitch"
    project.write(lay_out("sqitch", Step(PSQL[kind])))
    report = project.run()
    assert (Status.APPLIED, None) == (report.status, report.error)
    assert show(other) == show(project.database)


OUTSIDE = "-- migrate:up transaction:false\n"


@pytest.mark.parametrize("kind", ["between", "several", "before a block", "block and behind"])
def test_script_with_copy_data_is_resumed_after_it(project: Project, kind: str) -> None:
    """Committed rows stay, and the next run continues after the COPY data."""
    text = OUTSIDE + TABLE + SCRIPTS[kind]
    project.write({"1_a.sql": text + "INSERT INTO later VALUES (1);\n"})
    failed = project.run()
    assert failed.error is not None
    assert ("42P01", "1_a.sql") == (failed.error.sqlstate, failed.error.file)
    rows = project.database.run("SELECT count(*) FROM t")
    assert [("1", "partial")] == project.history()
    project.database.run("CREATE TABLE later (id int)")
    assert project.run().status is Status.APPLIED
    assert rows == project.database.run("SELECT count(*) FROM t")
    assert [[1]] == project.database.run("SELECT count(*) FROM later")


def test_script_whose_copied_rows_were_edited_is_not_resumed(project: Project) -> None:
    """Copied rows belong to the applied part, so editing them is drift."""
    text = OUTSIDE + TABLE + COPY + DATA + "INSERT INTO later VALUES (1);\n"
    project.write({"1_a.sql": text})
    assert project.run().status is Status.FAILED
    project.write({"1_a.sql": text.replace("a;b", "a;c")})
    report = project.run()
    assert report.error is not None
    assert (Status.REFUSED, "drift-detected") == (report.status, report.error.code)


def test_down_script_with_copy_data_is_run_outside(project: Project) -> None:
    """A down script's COPY data is applied, too."""
    down = "-- migrate:down transaction:false\n" + COPY + DATA + INSERT
    project.write({"1_b.sql": "SELECT 1;", "2_a.sql": "-- migrate:up\n" + TABLE + down})
    assert project.run().status is Status.APPLIED
    report = project.do(Action.DOWN, target="1")
    assert (Status.ROLLED_BACK, None) == (report.status, report.error and report.error.message)
    assert [[4]] == project.database.run("SELECT count(*) FROM t")


BROKEN = {
    "COPY data without \\.": COPY + "1\ta\n",
    "COPY data must begin on the line after the statement": "COPY t FROM stdin; SELECT 1;\n\\.\n",
}


@pytest.mark.parametrize("head", HEADS, ids=HEADS.values())
@pytest.mark.parametrize("message", BROKEN)
def test_copy_data_that_does_not_end_is_refused_with_its_place(
    project: Project, message: str, head: str
) -> None:
    """Nothing in the script runs, and the message gives file, line and column."""
    project.write({"1_a.sql": head + TABLE + BROKEN[message]})
    report = project.run()
    assert report.error is not None
    assert message in report.error.message
    line = 2 + bool(head)
    assert ("1_a.sql", line) == (report.error.file, report.error.line)
    assert f"1_a.sql:{line}:" in report.error.message
    assert [[None]] == project.database.run("SELECT to_regclass('t')")


@pytest.mark.parametrize("head", HEADS, ids=HEADS.values())
def test_row_that_does_not_fit_is_placed_at_its_statement(project: Project, head: str) -> None:
    """A data error is located at its COPY statement, and the data is not quoted."""
    project.write({"1_a.sql": head + TABLE + COPY + "1\ta\nsecret\tb\n\\.\n" + INSERT})
    report = project.run()
    assert report.error is not None
    assert ("22P02", "1_a.sql") == (report.error.sqlstate, report.error.file)
    assert "secret" not in f"{report.error}"
    assert report.error.line == 2 + bool(head)
