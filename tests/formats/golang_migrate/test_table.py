"""Read golang-migrate's single row as a history, and report what blocks adoption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.tables import make_ask

from lockgate.core.request import Action
from lockgate.errors import AmendmentRefused
from lockgate.formats.golang_migrate import table as golang_migrate
from lockgate.formats.tool import ForeignHistory, ForeignRow, ForeignState

if TYPE_CHECKING:
    from tests.support.database import Database
    from tests.support.project import Project

TABLE = "public.schema_migrations"
CREATE = "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);"
DIRTY = (
    "is marked dirty: golang-migrate began it but did not complete it. Check which of its changes are"
    " in the database, complete or remove them, then run: migrate force {0} (or the version before, if"
    " you removed them)."
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("(12, false)", ForeignHistory(TABLE, (ForeignRow("12"),), baseline="12")),
        (
            "(12, true)",
            ForeignHistory(
                TABLE,
                (ForeignRow("12", state=ForeignState.DIRTY, detail=f"it {DIRTY.format(12)}"),),
                baseline="12",
            ),
        ),
        ("(-1, true)", ForeignHistory(TABLE, (), problem=f"version -1 {DIRTY.format(-1)}")),
        (
            "(1, false), (2, false)",
            ForeignHistory(TABLE, (), problem="it has 2 rows instead of one."),
        ),
        (None, ForeignHistory(TABLE, ())),
    ],
)
def test_row_says_where_the_database_stands(
    database: Database, values: str | None, expected: ForeignHistory
) -> None:
    """The version is the baseline; a dirty one is reported as such."""
    database.run(CREATE + (f"INSERT INTO schema_migrations VALUES {values}" if values else ""))
    assert expected == golang_migrate.read_table(make_ask(database), TABLE)


FILES = {"000009_a.up.sql": "SELECT 1;", "000010_b.up.sql": "SELECT 2;", "11_c.up.sql": "SELECT 3;"}


def test_adoption_takes_everything_up_to_the_version(project: Project) -> None:
    """Adoption records every file up to the version, whatever leading zeros its name has."""
    project.settings["LOCKGATE_FORMAT"] = "golang-migrate"
    project.write(FILES)
    project.database.run(f"{CREATE} INSERT INTO schema_migrations VALUES (10, false)")
    project.do(Action.ADOPT, source="golang-migrate", reason="we move")
    assert [("000009", "applied"), ("000010", "applied")] == project.history()


def test_adoption_of_a_dirty_version_is_refused(project: Project) -> None:
    """The refusal explains the fix."""
    project.settings["LOCKGATE_FORMAT"] = "golang-migrate"
    project.write(FILES)
    project.database.run(f"{CREATE} INSERT INTO schema_migrations VALUES (10, true)")
    report = project.do(Action.ADOPT, source="golang-migrate", reason="we move")
    assert report.error is not None
    assert (AmendmentRefused.code, True) == (
        report.error.code,
        DIRTY.format(10) in report.error.message,
    )
