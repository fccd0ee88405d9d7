"""Run golang-migrate's files: several statements in one file, and a down file alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lockgate.core.request import Action

if TYPE_CHECKING:
    from tests.support.project import Project


def test_file_of_several_kinds_runs_statement_by_statement(project: Project) -> None:
    """A file with mixed statements runs them one by one, as with x-multi-statement, and can resume."""
    project.settings["LOCKGATE_FORMAT"] = "golang-migrate"
    text = "CREATE TABLE a (i int);\nCREATE INDEX CONCURRENTLY b ON a (i);\nDROP TABLE nothing;"
    project.write({"1_a.up.sql": text})
    failed = project.run(Action.UP)
    project.write({"1_a.up.sql": text.replace("DROP TABLE", "DROP TABLE IF EXISTS")})
    resumed = project.run(Action.UP)
    indexes = "SELECT count(*) FROM pg_class WHERE relname = 'b'"
    assert ("failed", "applied") == (failed.status, resumed.status)
    assert [[1]] == project.database.run(indexes)


def test_version_with_a_down_file_alone_does_nothing_on_the_way_up(project: Project) -> None:
    """A version with only a down file is recorded going up, and its script runs going down."""
    project.settings["LOCKGATE_FORMAT"] = "golang-migrate"
    project.write({"1_a.up.sql": "CREATE TABLE a ();", "2_b.down.sql": "DROP TABLE a;"})
    project.run(Action.UP)
    down = project.do(Action.DOWN, steps=1, reason="test")
    assert (["2"], [("1", "applied")]) == ([m.version for m in down.reverted], project.history())
