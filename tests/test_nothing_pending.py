"""A folder that is applied is up to date, and every later change is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lockgate.core.request import Action
from lockgate.report.report import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.project import Project

FILES = {
    "1_a.sql": "CREATE TABLE a (id bigint);\n",
    "2_b.sql": "-- migrate:up\nCREATE TABLE b (id bigint);\n-- migrate:down\nDROP TABLE b;\n",
    "sub/10_c.sql": "-- migrate:up\nCREATE TABLE c (id bigint);\n-- migrate:down\nDROP TABLE c;\n",
    "R__v.sql": "CREATE OR REPLACE VIEW v AS SELECT id FROM a;\n",
}


@pytest.fixture
def applied(project: Project) -> Project:
    """Give a project whose folder is applied."""
    project.write(FILES)
    assert project.run().status is Status.APPLIED
    return project


@pytest.mark.parametrize("action", [Action.UP, Action.PLAN, Action.VALIDATE])
def test_same_files_are_up_to_date(applied: Project, action: Action) -> None:
    """Unchanged files are up to date, and the report has the last version."""
    report = applied.run(action)
    assert (Status.UP_TO_DATE, "10", []) == (
        report.status,
        report.from_version,
        list(report.warnings),
    )


def rename(project: Project, name: str, new: str) -> None:
    """Rename a migration's file."""
    (project.folder / name).rename(project.folder / new)


def query(sql: str) -> Callable[[Project], object]:
    """Return a function that changes the history."""
    return lambda project: project.database.run(sql)


HISTORY = "lockgate.migration_history"
SAME = (Status.UP_TO_DATE, None)
DRIFT = (Status.REFUSED, "drift-detected")
CHANGES: dict[str, tuple[Callable[[Project], object], tuple[Status, str | None]]] = {
    "comment": (lambda p: p.write({"1_a.sql": "-- why\n" + FILES["1_a.sql"]}), SAME),
    "statement": (lambda p: p.write({"1_a.sql": "CREATE TABLE a (id int);\n"}), DRIFT),
    "newline": (lambda p: p.write({"1_a.sql": FILES["1_a.sql"] + "\n"}), SAME),
    "down script": (lambda p: p.write({"2_b.sql": FILES["2_b.sql"] + "SELECT 1;\n"}), SAME),
    "repeatable": (
        lambda p: p.write({"R__v.sql": FILES["R__v.sql"] + "SELECT 1;\n"}),
        (Status.PLANNED, None),
    ),
    "new file": (lambda p: p.write({"11_d.sql": "SELECT 1;\n"}), (Status.PLANNED, None)),
    "new file between": (
        lambda p: p.write({"3_d.sql": "SELECT 1;\n"}),
        (Status.REFUSED, "out-of-order"),
    ),
    "new repeatable": (lambda p: p.write({"R__w.sql": "SELECT 1;\n"}), (Status.PLANNED, None)),
    "not a migration file name": (
        lambda p: p.write({"notes.sql": "SELECT 1;\n"}),
        (Status.REFUSED, "migration-file-invalid"),
    ),
    "name": (lambda p: rename(p, "2_b.sql", "2_bb.sql"), SAME),
    "version": (lambda p: rename(p, "2_b.sql", "3_b.sql"), DRIFT),
    "folder": (lambda p: rename(p, "2_b.sql", "sub/2_b.sql"), SAME),
    "removed": (lambda p: p.remove("2_b.sql"), DRIFT),
    "not UTF-8": (
        lambda p: (p.folder / "1_a.sql").write_bytes(b"SELECT '\xff';\n"),
        (Status.REFUSED, "migration-file-invalid"),
    ),
    "row's checksum": (
        query(f"UPDATE {HISTORY} SET up_checksum = 'sha256:0' WHERE version = '1'"),
        SAME,
    ),
    "row": (query(f"DELETE FROM {HISTORY} WHERE version = '10'"), (Status.PLANNED, None)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_of_an_applied_folder_is_found(applied: Project, change: str) -> None:
    """The next look finds any change in the folder or the history."""
    apply, expected = CHANGES[change]
    apply(applied)
    report = applied.run(Action.PLAN)
    assert expected == (report.status, report.error and report.error.code)


def test_column_of_an_earlier_build_is_left_alone(applied: Project) -> None:
    """A column of an earlier build is ignored, and its value is kept."""
    applied.database.run("ALTER TABLE lockgate.migration_lock ADD known_folder text")
    applied.database.run("UPDATE lockgate.migration_lock SET known_folder = 'x y 10'")
    assert applied.run().status is Status.UP_TO_DATE
    applied.write({"11_d.sql": "SELECT 1;\n"})
    assert applied.run(Action.PLAN).status is Status.PLANNED
    report = applied.run()
    assert (Status.APPLIED, "11", []) == (report.status, report.to_version, list(report.warnings))
    assert applied.do(Action.DOWN, target="10", allow_data_loss=True).error is not None
    kept = applied.database.run("SELECT known_folder FROM lockgate.migration_lock")
    assert [["x y 10"]] == kept
    assert applied.lock_owner() is None
