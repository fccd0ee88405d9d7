"""Read Alembic's version table as a history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.project import Project
from tests.support.tables import find_table, make_ask

from lockgate.core.request import Action
from lockgate.formats.alembic import table as alembic
from lockgate.formats.tool import ForeignHistory
from lockgate.report.report import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.database import Database

SETUP = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"
REVISION = "revision = {!r}\ndown_revision = {!r}\n\ndef upgrade(): pass\n"


@pytest.fixture
def revisions(database: Database, tmp_path: Path) -> Project:
    """Give a project with three revisions, two of them built on the first, and an empty table."""
    for name, below in {"a": None, "b": "a", "c": "a"}.items():
        (tmp_path / f"{name}.py").write_text(REVISION.format(name, below))
    database.run(SETUP)
    return Project(tmp_path, database, {"LOCKGATE_FORMAT": "alembic"})


def test_heads_are_read_and_no_rows(database: Database) -> None:
    """The table yields heads only, since it does not record what they build on."""
    database.run(f"{SETUP}; INSERT INTO alembic_version VALUES ('b'), ('a')")
    ask = make_ask(database)
    table = find_table(alembic.SHAPE, ask)
    assert table is not None
    expected = ForeignHistory("public.alembic_version", (), heads=("a", "b"))
    assert expected == alembic.read_table(ask, table)


def test_database_without_the_table_has_none(database: Database) -> None:
    """Without Alembic's table, no table is found."""
    assert find_table(alembic.SHAPE, make_ask(database)) is None


def test_adoption_takes_the_heads_with_all_below_them(revisions: Project) -> None:
    """Adoption records a head and its ancestors; a revision on another branch stays pending."""
    revisions.database.run("INSERT INTO alembic_version VALUES ('c')")
    report = revisions.do(Action.ADOPT, source="alembic", reason="we move")
    assert Status.APPLIED is report.status
    assert [("a", "applied"), ("c", "applied")] == revisions.history()


def test_adoption_refuses_a_head_without_a_file(revisions: Project) -> None:
    """Adoption is refused if the database has a head that the folder does not."""
    revisions.database.run("INSERT INTO alembic_version VALUES ('gone')")
    report = revisions.do(Action.ADOPT, source="alembic", reason="we move")
    assert report.error is not None
    assert (Status.REFUSED, True) == (report.status, "the revision gone" in report.error.message)
