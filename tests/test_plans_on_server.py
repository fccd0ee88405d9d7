"""Plans on a real server: skipped and refused migrations, and those that run outside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.database import Database

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

    from lockgate.report.report import Report

ALONE = "-- migrate:up transaction:false\n"
ACCOUNT = "CREATE TABLE account (id int PRIMARY KEY);"


def refusal(report: Report) -> tuple[str, str, str]:
    """Return status, code and message of a refused run."""
    assert report.error is not None
    return report.status.value, report.error.code, report.error.message


# The applied part of a migration.


def test_executed_part_is_never_executed_again(project: Project) -> None:
    """Changing a partly applied file to run in a transaction is refused; outside one, it resumes."""
    project.write(
        {
            "1_account.sql": ACCOUNT,
            "2_fill.sql": f"{ALONE}INSERT INTO account VALUES (1);\nSELECT 1/0;\n",
        }
    )
    assert Status.FAILED == project.run().status
    project.write({"2_fill.sql": "-- migrate:up\nINSERT INTO account VALUES (1);\n"})
    status, code, message = refusal(project.run())
    assert ("refused", "drift-detected") == (status, code)
    assert "1 of its statements is done, and would be run again. 2_fill.sql." in message
    assert [("1", "applied"), ("2", "partial")] == project.history()
    project.write({"2_fill.sql": f"{ALONE}INSERT INTO account VALUES (1);\n"})
    assert Status.APPLIED == project.run().status
    assert [[1]] == project.database.run("SELECT count(*) FROM account")


# A stack rollback.


def test_package_older_than_the_database_leaves_a_wider_view_alone(project: Project) -> None:
    """An older package skips its older view and succeeds with a warning."""
    old = {
        "1_account.sql": ACCOUNT,
        "R__v.sql": "CREATE OR REPLACE VIEW v AS SELECT id FROM account;",
    }
    project.write(old)
    project.run()
    project.write(
        {
            "2_name.sql": "ALTER TABLE account ADD COLUMN name text;",
            "R__v.sql": "CREATE OR REPLACE VIEW v AS SELECT id, name FROM account;",
        }
    )
    assert Status.APPLIED == project.run().status
    project.remove("2_name.sql")
    project.write(old)
    report = project.run()
    assert Status.UP_TO_DATE == report.status
    (warning,) = report.warnings
    assert (
        "Migration R__v differs from what was applied and was skipped: the database is ahead of"
        " this package, so the text may be too old for it."
    ) == warning
    assert ["2"] == [entry.version for entry in report.ahead]
    assert [] == project.database.run("SELECT id, name FROM v")


# Another project's database.


@pytest.mark.parametrize("action", [Action.UP, Action.PLAN, Action.VALIDATE])
def test_another_projects_history_is_refused(project: Project, action: Action) -> None:
    """A history without a common version refuses the run, and nothing is created."""
    project.write({"1_account.sql": ACCOUNT, "2_more.sql": "SELECT 1;"})
    project.run()
    project.remove("1_account.sql")
    project.remove("2_more.sql")
    project.write({"10_other.sql": "CREATE TABLE other (id int);"})
    status, code, message = refusal(project.run(action))
    assert ("refused", "history-foreign") == (status, code)
    assert "it holds 2 versions from 1 to 2, and " in message
    assert message.endswith(" holds version 10. They share no version. Nothing was changed.")
    assert [[None]] == project.database.run("SELECT to_regclass('other')")


def test_projects_with_schemas_of_their_own_share_a_database(project: Project) -> None:
    """With its own LOCKGATE_SCHEMA, a second project can use the same database."""
    project.write({"1_account.sql": ACCOUNT})
    project.run()
    project.remove("1_account.sql")
    project.write({"10_other.sql": "CREATE TABLE other (id int);"})
    assert Status.APPLIED == project.run(LOCKGATE_SCHEMA="lockgate_other").status


# Drift.


def test_status_shows_an_edited_down_script(project: Project) -> None:
    """An edited down script is a warning, because the stored script is used."""
    text = f"-- migrate:up\n{ACCOUNT}\n-- migrate:down\n"
    project.write({"1_account.sql": f"{text}DROP TABLE account;\n"})
    project.run()
    assert () == project.run(Action.STATUS).drift
    project.write({"1_account.sql": f"{text}DROP TABLE IF EXISTS account;\n"})
    report = project.run(Action.STATUS)
    assert Status.UP_TO_DATE == report.status
    assert [("1", "down", "warning")] == [(d.version, d.script, d.severity) for d in report.drift]
    assert [True] == [
        text.startswith("The down script of migration 1 account was edited")
        for text in report.warnings
    ]


def test_status_shows_an_edited_file(project: Project) -> None:
    """Status reports drift of an edited file even if nothing is pending."""
    project.write({"1_account.sql": ACCOUNT})
    project.run()
    project.write({"1_account.sql": f"{ACCOUNT} SELECT 1;"})
    report = project.run(Action.STATUS)
    assert Status.UP_TO_DATE == report.status
    assert [("1", "up", "error")] == [(d.version, d.script, d.severity) for d in report.drift]


# Statements that only the server can judge.

PROCEDURE = """
CREATE TABLE entry (id int);
CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO entry VALUES (1); COMMIT; END $$;
"""
PARTITIONED = """
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (9);
"""


@pytest.mark.parametrize(
    ("before", "statement", "sqlstate"),
    [
        (PROCEDURE, "CALL fill()", "2D000"),
        (PROCEDURE, "DO $$ BEGIN CALL fill(); END $$", "2D000"),
        (PARTITIONED, "REINDEX TABLE part", "25001"),
        (PARTITIONED, "REINDEX INDEX part_pkey", "25001"),
    ],
)
def test_hint_of_a_refusal_works(
    project: Project, before: str, statement: str, sqlstate: str
) -> None:
    """The server refuses the statement in a transaction; with transaction:false it runs once."""
    project.write({"1_before.sql": before, "2_it.sql": f"{statement};"})
    report = project.run()
    assert report.error is not None
    assert (sqlstate, "transaction:false" in (report.error.hint or "")) == (
        report.error.sqlstate,
        True,
    )
    project.write({"2_it.sql": f"{ALONE}{statement};\nSELECT 1;"})
    assert Status.APPLIED == project.run().status
    assert [("1", "applied"), ("2", "applied")] == project.history()
    if before is PROCEDURE:
        assert [[1]] == project.database.run("SELECT count(*) FROM entry")


@pytest.mark.parametrize(
    ("statement", "hint"),
    [
        (
            "ALTER TYPE mood ADD VALUE 'new'; SELECT 'new'::mood",
            (
                "New enum values must be committed before they can be used."
                " Use the new value in a later migration than the one that adds it."
            ),
        ),
        (
            "SET ROLE pg_monitor; CREATE TABLE public.x ()",
            "Grant the role the missing privilege, or let it act as the owner: LOCKGATE_SET_ROLE.",
        ),
    ],
)
def test_hint_contains_advice_and_the_hint_of_the_server(
    project: Project, statement: str, hint: str
) -> None:
    """The hint contains the server's advice and what to change in the migration."""
    project.database.run(
        "CREATE TYPE mood AS ENUM ('old'); REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    )
    project.write({"1_it.sql": statement})
    assert hint == project.run().next_action


# Encodings.


def test_script_in_another_encoding_stores_nothing(project: Project) -> None:
    """A script that sets another client encoding is refused, because it is sent as UTF-8."""
    project.write(
        {
            "1_name.sql": f"{ACCOUNT}\nSET client_encoding = 'LATIN1';\nCOMMENT ON TABLE account IS 'ö';"
        }
    )
    status, code, message = refusal(project.run())
    assert ("refused", "migration-file-invalid") == (status, code)
    assert message.startswith("1_name.sql:2:1: the script sets client_encoding to LATIN1")
    assert [[None]] == project.database.run("SELECT to_regclass('account')")


def recode(project: Project, encoding: str) -> Project:
    """Recreate a project's database with this encoding."""
    name = project.database.name
    admin = Database(project.database.server, "postgres")
    admin.run(f'DROP DATABASE "{name}"')
    admin.run(f"CREATE DATABASE \"{name}\" ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    return project


@pytest.fixture
def latin(project: Project) -> Project:
    """Give a project whose database is in LATIN1."""
    return recode(project, "LATIN1")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP", "UTF8"])
@pytest.mark.parametrize("head", ["", "-- migrate:up transaction:false\n"])
def test_error_is_placed_in_any_encoding_of_the_database(
    project: Project, encoding: str, head: str
) -> None:
    """Statement, line and column count characters of the file in any encoding, even SQL_ASCII."""
    recode(project, encoding)
    lines = ["SELECT 1; -- äöü äöü äöü", "SELECT 'äöü äöü äöü';", "SELECT 1;"]
    bad = "  SELECT 'ä', nonsense;"
    project.write({"1_a.sql": head + "\n".join([*lines, bad, *["SELECT 1;"] * 20])})
    error = project.run().error
    assert error is not None
    place = (4, 4 + bool(head), bad.index("nonsense") + 1)
    assert ("42703", *place) == (error.sqlstate, error.statement, error.line, error.column)
    assert f"{bad}\n{' ' * bad.index('nonsense')}^" == error.excerpt


def test_text_is_converted_to_the_encoding_of_the_database(latin: Project) -> None:
    """UTF-8 files are converted to the encoding of the database."""
    latin.write({"1_name.sql": f"{ACCOUNT}\nCOMMENT ON TABLE account IS 'ö';"})
    assert Status.APPLIED == latin.run().status
    assert [["ö"]] == latin.database.run("SELECT obj_description('account'::regclass)")


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (
            {"1_one.sql": f"{ACCOUNT}\n-- 日\n", "2_two.sql": "SELECT 2;"},
            ("1 one", "1_one.sql", 2, 4),
        ),
        ({"1_one.sql": ACCOUNT, "2_日.sql": "SELECT 2;"}, ("2 日", "2_日.sql", None, None)),
    ],
)
def test_character_that_the_database_cannot_hold_is_found(
    latin: Project, files: dict[str, str], place: tuple[object, ...]
) -> None:
    """The file with a character that the database cannot store is found among all that were sent."""
    latin.write(files)
    error = latin.run().error
    assert error is not None
    assert ("22P05", *place) == (
        error.sqlstate,
        error.migration,
        error.file,
        error.line,
        error.column,
    )
    assert 'in encoding "UTF8" has no equivalent in encoding "LATIN1"' in error.message
    assert error.hint is not None
    assert error.hint.startswith("The database's encoding lacks the character")
