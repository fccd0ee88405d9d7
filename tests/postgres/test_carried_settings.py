"""Session settings of one migration reach the next one exactly as under the original tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.core.request import Action

if TYPE_CHECKING:
    from tests.support.project import Project

SET_UP = "CREATE SCHEMA app;\nSET search_path TO app, public;\nSET IntervalStyle = 'iso_8601';"
SHOW = "CREATE TABLE t AS SELECT current_setting('IntervalStyle') AS style;"
LAYOUTS = {
    "golang-migrate": "{}.up.sql",
    "diesel": "{}/up.sql",
    "prisma": "{}/migration.sql",
    "flyway": "V{}.sql",
}
HEADS = {"goose": "-- +goose Up\n", "dbmate": "-- migrate:up\n", "yoyo": "-- depends:\n"}


def write(project: Project, name: str, *texts: str) -> None:
    """Write the migrations of a format, in order."""
    project.settings["LOCKGATE_FORMAT"] = name
    layout, head = LAYOUTS.get(name, "{}.sql"), HEADS.get(name, "")
    for number, text in enumerate(texts, start=1):
        project.write({layout.format(f"{number}__a"): f"{head}{text}\n"})


def find_table(project: Project) -> tuple[str, str]:
    """Return the table's schema and the interval style in force when it was created."""
    find = "SELECT schemaname FROM pg_tables WHERE tablename = 't'"
    ((schema,),) = project.database.run(find)
    ((style,),) = project.database.run(f"SELECT style FROM {schema}.t")
    return schema, style


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, ("app", "iso_8601")) for name in ("golang-migrate", "sqlx", "diesel", "prisma")),
        *((name, ("app", "iso_8601")) for name in ("goose", "dbmate")),
        ("flyway", ("public", "iso_8601")),
        ("yoyo", ("public", "postgres")),
        ("lockgate", ("public", "postgres")),
    ],
)
@pytest.mark.parametrize("atomicity", ["auto", "migration"])
def test_next_migration_of_a_run_finds_what_its_tool_would_leave(
    project: Project, name: str, expected: tuple[str, str], atomicity: str
) -> None:
    """Single-session tools carry every setting, Flyway all but search_path and role, others none."""
    write(project, name, SET_UP, "SELECT 1;", SHOW)
    project.run(Action.UP, LOCKGATE_ATOMICITY=atomicity)
    assert expected == find_table(project)


def test_next_run_finds_nothing(project: Project) -> None:
    """Settings do not carry over to the next run, since a run is one session."""
    write(project, "sqlx", SET_UP)
    project.run()
    write(project, "sqlx", SET_UP, SHOW)
    project.run()
    assert ("public", "postgres") == find_table(project)


def test_failed_run_leaves_what_was_committed_to_its_retry(project: Project) -> None:
    """A migration retried after a lock timeout runs with the same carried settings."""
    once = "DO $$ BEGIN IF nextval('tries') = 1 THEN RAISE lock_not_available; END IF; END $$;\n"
    project.database.run("CREATE SEQUENCE tries")
    write(project, "sqlx", SET_UP, once + SHOW)
    project.run()
    assert ("app", "iso_8601") == find_table(project)


def test_role_of_one_migration_owns_what_the_next_one_makes(project: Project) -> None:
    """The role is carried to the next migration, while the run's own role writes the history."""
    role = f"r_{project.database.name}"
    project.database.run(f"CREATE ROLE {role}; GRANT ALL ON SCHEMA public TO {role}")
    # Only a superuser may set session_replication_role.
    allow = f"SET session_replication_role = replica;\nSET ROLE {role};"
    try:
        write(project, "golang-migrate", allow, "CREATE TABLE t ();", "RESET ROLE;")
        report = project.run()
        find = "SELECT tableowner FROM pg_tables WHERE tablename = 't'"
        assert (3, [[role]]) == (len(report.applied), project.database.run(find))
    finally:
        project.database.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_empty_search_path_is_not_left_to_the_next_one(project: Project) -> None:
    """An emptied search_path, as in a dump, is not carried over, since no name would resolve with it."""
    empty = (
        "SELECT pg_catalog.set_config('search_path', '', false);\nSET IntervalStyle = 'iso_8601';"
    )
    write(project, "golang-migrate", empty, SHOW)
    project.run()
    assert ("public", "iso_8601") == find_table(project)


def test_setting_of_a_transaction_ends_with_its_migration(project: Project) -> None:
    """SET LOCAL ends with its migration, even if several migrations share a transaction."""
    write(project, "golang-migrate", SET_UP.replace("SET ", "SET LOCAL "), SHOW)
    project.run()
    assert ("public", "postgres") == find_table(project)
