"""Lines that look like a marker but are not one in their format, on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.layouts import Step, lay_out

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project

MAKE, DROP = "CREATE TABLE made ();\n", "DROP TABLE made;\n"
# A format, its files, and the position of the refused line.
UNRECOGNIZED = [
    ("lockgate", {"1_a.sql": f"-- migrate:up\n{MAKE}--- migrate:down\n{DROP}"}, "1_a.sql:3:1"),
    ("lockgate", {"1_a.sql": f"{MAKE}\n  -- down\n{DROP}"}, "1_a.sql:3:3"),
    ("lockgate", {"1_a.sql": f"-- up\n{MAKE}-- down\n{DROP}"}, "1_a.sql:3:1"),
    (
        "lockgate",
        {"1_a.sql": f"{MAKE}COPY made FROM stdin;\n'\n\\.\n-- down\n{DROP}"},
        "1_a.sql:5:1",
    ),
    ("lockgate", {"1_a.sql": f"-- @UP\n{MAKE}-- @DOWN\n{DROP}"}, "1_a.sql:1:1"),
    ("lockgate", {"1_a.sql": f"/* migrate:up */\n{MAKE}"}, "1_a.sql:1:1"),
    ("lockgate", {"1_a.sql": f"{MAKE}---- create above / drop below ----\n{DROP}"}, "1_a.sql:2:1"),
    ("lockgate", {"1_a.sql": f"{MAKE}-- //@UNDO\n{DROP}"}, "1_a.sql:2:1"),
    ("lockgate", {"1_a.sql": f"{MAKE}--rollback {DROP}"}, "1_a.sql:2:1"),
    (
        "lockgate",
        {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n{DROP}-- up\n{DROP}"},
        "1_a.sql:5:1",
    ),
    ("lockgate", {"R__a.sql": f"SELECT 1;\n-- rollback\n{DROP}"}, "R__a.sql:2:1"),
    ("lockgate", {"1_a.sql": f"{MAKE}\u2013\u2013 migrate:down\n{DROP}"}, None),
    (
        "lockgate",
        {"1_a.sql": f"-- migrate:up\n{MAKE}SELECT 1; -- migrate:down\n{DROP}"},
        "1_a.sql:3:11",
    ),
    (
        "lockgate",
        {"1_a.sql": f"{MAKE}SELECT 1;--migrate:DOWN transaction:false \r\n{DROP}"},
        "1_a.sql:2:10",
    ),
    (
        "lockgate",
        {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n{DROP}SELECT 1 -- migrate:up\n"},
        "1_a.sql:5:10",
    ),
    ("dbmate", {"1_a.sql": f"-- migrate:up\nSELECT 1;-- migrate:down\n{DROP}"}, "1_a.sql:2:10"),
    ("auto", {"1_a.sql": f"-- rambler up\n{MAKE}-- rambler down\n{DROP}"}, "1_a.sql:1"),
    ("auto", {"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate :down\n{DROP}"}, "1_a.sql:3:1"),
    ("dbmate", {"1_a.sql": f"-- migrate:up\n{MAKE}  -- migrate:down\n{DROP}"}, "1_a.sql:3:3"),
    ("dbmate", {"1_a.sql": f"-- migrate:up\n{MAKE}-- MIGRATE:DOWN\n{DROP}"}, "1_a.sql:3:1"),
    ("goose", {"1_a.sql": f"-- +goose Up\n{MAKE}-- + goose Down\n{DROP}"}, "1_a.sql:3:1"),
    ("goose", {"1_a.sql": f"-- +goose Up\n{MAKE}-- +migrate Down\n{DROP}"}, "1_a.sql:3:1"),
    ("golang-migrate", {"1_a.up.sql": f"{MAKE}-- down\n{DROP}"}, "1_a.up.sql:2:1"),
    ("sqlx", {"1_a.sql": f"{MAKE}-- migrate:down\n{DROP}"}, "1_a.sql:2:1"),
    ("diesel", {"1_a/up.sql": f"{MAKE}-- +goose Down\n{DROP}"}, "1_a/up.sql:2:1"),
    ("prisma", {"1_a/migration.sql": f"{MAKE}-- Down Migration\n{DROP}"}, "1_a/migration.sql:2:1"),
    ("flyway", {"V1__a.sql": f"{MAKE}-- undo\n{DROP}"}, "V1__a.sql:2:1"),
    ("knex", {"1_a.sql": f"{MAKE}-- Down:\n{DROP}"}, "1_a.sql:2:1"),
    ("node-pg-migrate", {"1_a.sql": f"{MAKE}-- down\n{DROP}"}, "1_a.sql:2:1"),
    ("yoyo", {"a.sql": f"{MAKE}-- rollback\n{DROP}"}, "a.sql:2:1"),
    (
        "liquibase",
        {"a.sql": f"--liquibase formatted sql\n--changeset a:1\n{MAKE}-- down\n{DROP}"},
        "a.sql:4:1",
    ),
    ("rails", {"1_a.sql": f"{MAKE}-- down\n{DROP}"}, "1_a.sql:2:1"),
    *(
        (tool, lay_out(tool, Step(f"{MAKE}-- down\n{DROP}")), place)
        for tool, place in (
            ("sqitch", "deploy/step1.sql:2:1"),
            ("graphile-migrate", "committed/000001.sql:5:1"),
            ("postgres-migrations", "1_step1.sql:2:1"),
        )
    ),
]
FINE = [
    ("lockgate", {"1_a.sql": f"-- Up\n{MAKE}"}),
    ("lockgate", {"1_a.sql": f"-- ===== up =====\n{MAKE}-- To roll back:\n-- DROP TABLE made;\n"}),
    ("lockgate", {"1_a.sql": f"{MAKE}-- Rollback:\n-- DROP TABLE made;\n\n/* Undo */\n"}),
    (
        "lockgate",
        {"1_a.sql": f"{MAKE}CREATE TABLE b (c text);\nCOPY b FROM stdin;\n-- down\n\\.\n"},
    ),
    ("lockgate", {"1_a.sql": f"-- Down migration is a no-op\n-- up to 10 rows\n{MAKE}"}),
    ("auto", {"1_a.sql": f"-- migrate:up\n{MAKE}-- Down migration is a no-op\n"}),
    ("auto", {"1_a.sql": f"-- +goose Up\n-- Down migration is a no-op\n{MAKE}"}),
    ("lockgate", {"1_a.sql": f"/*\n-- down\n*/\n{MAKE}"}),
    ("lockgate", {"1_a.sql": f"{MAKE}COMMENT ON TABLE made IS '\n-- down\n';\n"}),
    (
        "lockgate",
        {
            "1_a.sql": (
                f"{MAKE}CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n"
                "  -- rollback\n  RETURN 1;\nEND $$;\n"
            )
        },
    ),
    ("lockgate", {"1_a.sql": f"{MAKE}-- ROLLBACK;\n"}),
    (
        "lockgate",
        {"1_a.sql": f"{MAKE}SELECT ' -- migrate:down\n'; SELECT 1; /* -- migrate:down\n*/\n"},
    ),
    (
        "lockgate",
        {"1_a.sql": f"{MAKE}SELECT 1; -- migrate:down is below\n-- not SELECT; -- migrate:down\n"},
    ),
    (
        "lockgate",
        {"1_a.sql": f"{MAKE}DO $$ BEGIN NULL; -- migrate:down\nEND $$; -- migrate:downgrade\n"},
    ),
    ("goose", {"1_a.sql": f"-- +goose Up\n{MAKE}SELECT 1; -- migrate:down\n"}),
    ("dbmate", {"1_a.sql": f"--migrate:up\n{MAKE}--migrate:down\n-- rollback\n{DROP}"}),
    ("golang-migrate", {"1_a.up.sql": f"-- up\n{MAKE}", "1_a.down.sql": f"-- down\n{DROP}"}),
    ("diesel", {"1_a/up.sql": f"-- Up\n{MAKE}", "1_a/down.sql": f"-- Down\n{DROP}"}),
    ("sqlx", {"1_a.sql": f"-- Add migration script here\n{MAKE}"}),
    ("node-pg-migrate", {"1_a.sql": f"-- Up Migration\n{MAKE}-- Down Migration\n{DROP}"}),
    ("node-pg-migrate", {"1_a.sql": f"-- Up Migration\n{MAKE}"}),
    ("node-pg-migrate", {"1_a.up.sql": f"-- Up Migration\n{MAKE}"}),
    (
        "goose",
        {"1_a.sql": f"-- +goose Up\n-- +goose StatementBegin\n{MAKE}-- +goose StatementEnd\n"},
    ),
    (
        "liquibase",
        {"a.sql": f"--liquibase formatted sql\n--changeset a:1\n{MAKE}--rollback {DROP}"},
    ),
    ("yoyo", {"a.sql": MAKE, "a.rollback.sql": f"-- rollback\n{DROP}"}),
]


@pytest.mark.parametrize("action", [Action.UP, Action.VALIDATE])
@pytest.mark.parametrize(("tool", "files", "place"), UNRECOGNIZED)
def test_pending_file_with_an_unrecognized_marker_is_refused(
    project: Project, tool: str, files: dict[str, str], place: str | None, action: Action
) -> None:
    """A pending file with an unrecognised marker is refused, so that no down script runs as up."""
    project.write(files)
    report = project.run(action, LOCKGATE_FORMAT=tool)
    assert Status.REFUSED == report.status
    assert report.error is not None
    assert "migration-file-invalid" == report.error.code
    assert place is None or place in report.error.message
    assert [] == project.database.run("SELECT FROM pg_class WHERE relname = 'made'")


@pytest.mark.parametrize(("tool", "files"), FINE)
def test_comment_that_is_not_a_marker_is_ignored(
    project: Project, tool: str, files: dict[str, str]
) -> None:
    """A comment that is not a marker does not refuse the file."""
    project.write(files)
    report = project.run(LOCKGATE_FORMAT=tool)
    assert (Status.APPLIED, None) == (report.status, report.error)
    assert [[]] == project.database.run("SELECT FROM pg_class WHERE relname = 'made'")


def test_refusal_suggests_the_intended_marker(project: Project) -> None:
    """The message quotes the line, and the hint proposes the marker."""
    project.write({"1_a.sql": f"-- migrate:up\n{MAKE}--- migrate:down\n{DROP}"})
    error = project.run().error
    assert error is not None
    assert error.message.startswith(
        '1_a.sql:3:1: the file has the line "--- migrate:down", which looks like the start of a down'
        " script and is not one in this format: what follows it would run with the rest."
    )
    assert error.hint == "Did you mean -- migrate:down? If it is only a comment, reword it."
    project.write({"1_a.sql": f"-- migrate:up\n{MAKE}-- migrate:down\n{DROP}"})
    assert Status.APPLIED == project.run().status


def test_refusal_of_a_marker_after_sql_names_its_place(project: Project) -> None:
    """A marker after SQL is quoted without the SQL, and the hint asks for a line of its own."""
    project.write({"1_a.sql": f"{MAKE}SELECT 'secret'; -- migrate:down\n{DROP}"})
    error = project.run().error
    assert error is not None
    assert error.message.startswith(
        '1_a.sql:2:18: the file has "-- migrate:down" after SQL on the same line, where it does not'
        " start a down script: what follows it would run with the rest."
    )
    assert error.hint == (
        "Put -- migrate:down on a line of its own. If it is only a comment, reword it."
    )


def test_applied_file_with_a_marker_after_sql_is_a_warning(project: Project) -> None:
    """In an applied file, a marker after SQL is a warning and does not refuse the run."""
    project.write({"1_a.sql": MAKE})
    project.run()
    project.write({"1_a.sql": f"{MAKE.rstrip()} -- migrate:down\n", "2_b.sql": "SELECT 1;"})
    (warning, _) = project.run(Action.STATUS).warnings
    assert warning.startswith('Migration 1 a was applied although its file has "-- migrate:down"')
    assert Status.APPLIED == project.run().status


def test_applied_file_with_an_unrecognized_marker_is_a_warning(project: Project) -> None:
    """In an applied file, an unrecognised marker is a warning and does not refuse the run."""
    project.write({"1_a.sql": MAKE})
    project.run()
    text = f"{MAKE}-- down\nSELECT 1;\n"
    project.write({"1_a.sql": text, "2_b.sql": "SELECT 1;"})
    project.do(Action.REPAIR, repair="accept", version="1", reason="test", requested_by="test")
    for action in (Action.STATUS, Action.VALIDATE):
        report = project.run(action)
        assert report.error is None
        assert (
            'Migration 1 a was applied although its file has the line "-- down", which looks like the'
            " start of a down script and is not one in this format: what follows it would run with the"
            " rest. 1_a.sql:2. Check that the database contains what the file describes."
        ) == report.warnings[0]
    assert Status.APPLIED == project.run().status


def test_applied_generator_is_a_warning(project: Project) -> None:
    """An applied Python file whose up is a generator is a warning."""
    project.write({"1_a.py": "def up(connection):\n    yield\n"})
    project.do(Action.BASELINE, target="1", reason="test", requested_by="test")
    for action in (Action.STATUS, Action.VALIDATE):
        (warning,) = project.run(action).warnings
        assert warning.startswith("Migration 1 a was applied although its file defines up as a gen")
    assert Status.UP_TO_DATE == project.run().status
