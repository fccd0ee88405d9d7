"""Adopt a history of node-pg-migrate, continue it, and undo it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.formats.node_pg_migrate.cases import TABLE

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from tests.support.project import Project


def test_adopted_history_is_continued(project: Project) -> None:
    """A migration that node-pg-migrate applied is not run again and can be undone."""
    project.settings["LOCKGATE_FORMAT"] = "node-pg-migrate"
    text = "-- Up Migration\nCREATE TABLE {0} ();\n-- Down Migration\nDROP TABLE {0};\n"
    project.write({"1_a.sql": text.format("one"), "2_b.sql": text.format("two")})
    project.database.run("CREATE TABLE one ()")
    project.database.run(TABLE.format(schema="public"))
    project.database.run("INSERT INTO pgmigrations (name, run_on) VALUES ('1_a', now())")
    report = project.do(Action.ADOPT, source="node-pg-migrate", reason="we move")
    assert report.status is Status.APPLIED
    assert project.run().status is Status.APPLIED
    assert project.history() == [("1_a", "applied"), ("2_b", "applied")]
    assert project.do(Action.DOWN, steps=2, reason="proof").status is Status.ROLLED_BACK
    assert project.history() == []
