"""An empty or invalid down script, in every format: the migration cannot be undone, with a warning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.core.request import Action
from lockgate.report.report import Report, Status

if TYPE_CHECKING:
    from tests.support.project import Project

MAKE, DROP = "CREATE TABLE made ();\n", "DROP TABLE made;\n"
EMPTY = "-- nothing yet\n"
PYTHON = "def up(connection):\n    connection.exec_driver_sql('CREATE TABLE made ()')\n\n"
PLAN = "%syntax-version=1.0.0\n%project=p\n\na 2024-01-01T00:00:00Z A <a@b.c> # a\n"
REVISION = (
    'from alembic import op\n\nrevision = "a"\ndown_revision = None\n\n\n'
    "def upgrade():\n    op.execute('CREATE TABLE made ()')\n\n\n"
)
FOLDERS = [
    ("lockgate", {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n{EMPTY}"}),
    ("lockgate", {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n"}),
    ("lockgate", {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n/* a */ ;; \n"}),
    ("lockgate", {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\nBEGIN;\n-- a\nCOMMIT;\n"}),
    ("lockgate", {"1_a.py": f'{PYTHON}def down(connection):\n    """Bring back."""\n'}),
    ("lockgate", {"1_a.py": f"{PYTHON}def down(connection):\n    pass\n"}),
    ("lockgate", {"1_a.py": f"{PYTHON}def down(connection): ...\n"}),
    ("lockgate", {"1_a.py": f"{PYTHON}def down(connection):\n    return None\n"}),
    ("lockgate", {"1_a.py": f"{PYTHON}def down(connection):\n    if connection:\n        pass\n"}),
    ("dbmate", {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n\n"}),
    ("goose", {"1_a.sql": f"-- +goose Up\n{MAKE}-- +goose Down\n{EMPTY}"}),
    (
        "goose",
        {
            "1_a.sql": f"-- +goose Up\n{MAKE}-- +goose Down\n-- +goose StatementBegin\n"
            "-- +goose StatementEnd\n"
        },
    ),
    ("golang-migrate", {"1_a.up.sql": MAKE, "1_a.down.sql": ""}),
    ("sqlx", {"1_a.up.sql": MAKE, "1_a.down.sql": "-- Add down migration script here\n"}),
    ("diesel", {"1_a/up.sql": MAKE, "1_a/down.sql": "-- This file should undo anything\n"}),
    ("knex", {"1_a.up.sql": MAKE, "1_a.down.sql": EMPTY}),
    ("node-pg-migrate", {"1_a.sql": f"-- Up Migration\n{MAKE}-- Down Migration\n"}),
    ("node-pg-migrate", {"1_a.up.sql": MAKE, "1_a.down.sql": EMPTY}),
    ("yoyo", {"a.sql": MAKE, "a.rollback.sql": EMPTY}),
    ("yoyo", {"a.py": f'from yoyo import step\nstep("{MAKE.strip()}", "-- nothing")\n'}),
    ("alembic", {"a.py": f"{REVISION}def downgrade():\n    pass\n"}),
    (
        "sqitch",
        {
            "sqitch.plan": PLAN,
            "deploy/a.sql": MAKE,
            "revert/a.sql": "BEGIN;\n\n-- XXX\n\nCOMMIT;\n",
        },
    ),
    ("flyway", {"V1__a.sql": MAKE, "U1__a.sql": EMPTY}),
    (
        "liquibase",
        {
            "a.sql": f"--liquibase formatted sql\n--changeset a:1\n{MAKE}"
            "/* liquibase rollback\n-- nothing\n*/\n"
        },
    ),
]


def down(project: Project, **settings: Any) -> Report:
    """Undo the last migration as an operator does."""
    return project.do(Action.DOWN, steps=1, reason="test", requested_by="test", **settings)


@pytest.mark.parametrize(("tool", "files"), FOLDERS)
def test_empty_down_cannot_undo_and_is_reported_beforehand(
    project: Project, tool: str, files: dict[str, str]
) -> None:
    """Plan and validate warn of an empty down script, up applies the migration, and down refuses."""
    project.write(files)
    for action in (Action.PLAN, Action.VALIDATE, Action.UP):
        report = project.run(action, LOCKGATE_FORMAT=tool)
        assert report.error is None
        (warning,) = report.warnings
        assert warning.startswith("Cannot undo ")
        assert "its down script is empty (" in warning
    for action in (Action.STATUS, Action.VALIDATE):
        assert report.warnings == project.run(action, LOCKGATE_FORMAT=tool).warnings
    assert () == project.run(LOCKGATE_FORMAT=tool).warnings
    report = down(project, LOCKGATE_FORMAT=tool)
    assert report.error is not None
    assert "undo-refused" == report.error.code
    assert "its down script is empty (" in report.error.message
    assert [[]] == project.database.run("SELECT FROM pg_class WHERE relname = 'made'")
    assert 1 == len(project.history())
    assert [[None]] == project.database.run("SELECT down_script FROM lockgate.migration_history")


@pytest.mark.parametrize(
    "text", ["SELECT 1;", "DO $$ BEGIN END $$;", "VALUES (1);", "SET a.b = 1;"]
)
def test_deliberate_down_that_does_nothing_is_run_by_down(project: Project, text: str) -> None:
    """A down script with a statement that does nothing can be run."""
    project.write({"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n{text}\n"})
    assert () == project.run().warnings
    assert Status.ROLLED_BACK == down(project).status


@pytest.mark.parametrize(
    ("tool", "files"),
    [
        ("lockgate", {"1_a.sql": f"-- migrate:up\n{MAKE}", "2_b.sql": "nonsense;"}),
        ("lockgate", {"1_a.py": PYTHON, "2_b.sql": "nonsense;"}),
    ],
)
def test_migration_without_a_down_needs_no_warning(
    project: Project, tool: str, files: dict[str, str]
) -> None:
    """A migration without a down script causes no warning."""
    project.write(files)
    assert () == project.run(Action.PLAN, LOCKGATE_FORMAT=tool).warnings


def test_failed_run_names_the_empty_down(project: Project) -> None:
    """A failed run that cannot undo because of an empty down script names that script's position."""
    project.write(
        {
            "1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n{EMPTY}",
            "2_b.sql": "SELECT nonsense;",
        }
    )
    report = project.run(LOCKGATE_ATOMICITY="migration")
    assert report.error is not None
    assert "its down script is empty (1_a.sql:3)" in f"{report.error.message} {report.warnings}"
    assert [("1", "applied")] == project.history()


def test_merge_revision_of_alembic_can_be_undone(project: Project) -> None:
    """A merge revision of Alembic has empty functions and can be undone."""
    text = 'revision = "a"\ndown_revision = None\n\n\ndef upgrade():\n    pass\n\n\n'
    project.write({"a.py": f"{text}def downgrade():\n    pass\n"})
    assert () == project.run(LOCKGATE_FORMAT="alembic").warnings
    assert Status.ROLLED_BACK == down(project, LOCKGATE_FORMAT="alembic").status


UNREADABLE = [
    ("lockgate", {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\nDROP TABLE 'made;\n"}),
    ("lockgate", {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n{DROP}VACUUM;\n"}),
    ("lockgate", {"1_a.py": f"{PYTHON}def down(connection):\n    yield\n"}),
    ("dbmate", {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\nDROP (TABLE made;\n"}),
    ("golang-migrate", {"1_a.up.sql": MAKE, "1_a.down.sql": "\\d made\n"}),
    ("sqlx", {"1_a.up.sql": MAKE, "1_a.down.sql": "BEGIN; DROP TABLE made;\n"}),
    ("diesel", {"1_a/up.sql": MAKE, "1_a/down.sql": "DROP TABLE made; /* \n"}),
    ("knex", {"1_a.up.sql": MAKE, "1_a.down.sql": "DROP TABLE 'made;\n"}),
    ("node-pg-migrate", {"1_a.up.sql": MAKE, "1_a.down.sql": "DROP TABLE 'made;\n"}),
    ("yoyo", {"a.sql": MAKE, "a.rollback.sql": "DROP TABLE 'made;\n"}),
    ("sqitch", {"sqitch.plan": PLAN, "deploy/a.sql": MAKE, "revert/a.sql": "DROP TABLE :x;\n"}),
    ("flyway", {"V1__a.sql": MAKE, "U1__a.sql": "DROP TABLE ${x};\n"}),
]


@pytest.mark.parametrize("rollback", ["off", "run"])
@pytest.mark.parametrize(("tool", "files"), UNREADABLE)
def test_down_that_cannot_run_is_a_warning_and_cannot_undo(
    project: Project, tool: str, files: dict[str, str], rollback: str
) -> None:
    """A down script that cannot run is a warning; only down refuses."""
    project.write(files)
    report = project.run(LOCKGATE_FORMAT=tool, LOCKGATE_ROLLBACK=rollback)
    assert (Status.APPLIED, None) == (report.status, report.error)
    (warning,) = report.warnings
    assert "its down script cannot be run: " in warning
    report = down(project, LOCKGATE_FORMAT=tool)
    assert report.error is not None
    assert "its down script cannot be run: " in report.error.message
    assert 1 == len(project.history())


UNREADABLE_DOWNS = {
    "string": ("SELECT 'x", "unterminated quoted string"),
    "parenthesis": ("SELECT (1;", "unbalanced parenthesis"),
    "command of psql": ("\\i x.sql\n", "\\i"),
    "COPY data": ("COPY a FROM stdin;\n1\n", "COPY data without"),
    "NUL": ("DROP TABLE a;\0", "NUL character"),
    "own transaction": ("BEGIN; DROP TABLE a;", "transaction"),
}
DOWN_PLACES = {
    "lockgate": ("1_a.sql", "-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\n"),
    "golang-migrate": ("1_a.down.sql", ""),
    "sqlx": ("1_a.down.sql", ""),
    "flyway": ("U1__a.sql", ""),
    "sqitch": ("revert/a.sql", ""),
}
UP_FILES = {
    "golang-migrate": {"1_a.up.sql": "CREATE TABLE a ();"},
    "sqlx": {"1_a.up.sql": "CREATE TABLE a ();"},
    "flyway": {"V1__a.sql": "CREATE TABLE a ();"},
    "sqitch": {"sqitch.plan": PLAN, "deploy/a.sql": "CREATE TABLE a ();"},
}


@pytest.mark.parametrize("kind", UNREADABLE_DOWNS)
@pytest.mark.parametrize("tool", DOWN_PLACES)
def test_down_script_that_cannot_be_run_is_a_warning_with_its_place(
    project: Project, tool: str, kind: str
) -> None:
    """The warning about an invalid down script, and down's refusal, give its position."""
    project.settings["LOCKGATE_FORMAT"] = tool
    path, head = DOWN_PLACES[tool]
    text, problem = UNREADABLE_DOWNS[kind]
    project.write(UP_FILES.get(tool, {}) | {path: head + text})
    line = head.count("\n") + 1
    place = re.compile(rf"{re.escape(path)}:{line}:.*{re.escape(problem)}")
    for action in (Action.PLAN, Action.VALIDATE, Action.UP, Action.VALIDATE):
        report = project.run(action)
        assert report.error is None, report.error
        assert place.search(" ".join(report.warnings)), (action, report.warnings)
    refused = project.do(Action.DOWN, steps=1, reason="test", requested_by="test")
    assert refused.error is not None
    assert "undo-refused" == refused.error.code
    assert place.search(refused.error.message), refused.error.message
