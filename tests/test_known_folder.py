"""What is kept of a large folder's listing: the same bytes need no other, and nothing is overlooked."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from lockgate.core.request import Action
from lockgate.formats import lockgate as native
from lockgate.report import Report, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.project import Project

FILES = {
    "1_a.sql": "CREATE TABLE a (id bigint);\n",
    "2_b.sql": "-- migrate:up\nCREATE TABLE b (id bigint);\n-- migrate:down\nDROP TABLE b;\n",
    "sub/10_c.sql": "-- migrate:up\nCREATE TABLE c (id bigint);\n-- migrate:down\nDROP TABLE c;\n",
    "R__v.sql": "CREATE OR REPLACE VIEW v AS SELECT id FROM a;\n",
}


@pytest.fixture(autouse=True)
def listings(monkeypatch: pytest.MonkeyPatch) -> Iterator[mock.Mock]:
    """Take every folder for a large one, and count how many were listed."""
    monkeypatch.setattr(native, "LISTED_AT_ONCE", 0)
    with mock.patch.object(native, "_list_files", wraps=native._list_files) as listed:
        yield listed


@pytest.fixture
def applied(project: Project, listings: mock.Mock) -> Project:
    """Give a project whose folder is in the database, and remembered."""
    project.write(FILES)
    assert project.run().status is Status.APPLIED
    listings.reset_mock()
    return project


def read_known(project: Project) -> str | None:
    """Return what is kept beside the lock."""
    rows = project.database.run("SELECT known_folder FROM lockgate.migration_lock")
    known: str | None = rows[0][0]
    return known


def forget(project: Project) -> None:
    """Keep nothing of any folder."""
    project.database.run("UPDATE lockgate.migration_lock SET known_folder = NULL")


def comparable(report: Report) -> dict[str, Any]:
    """Return a report without what is another one in each run."""
    value = report.to_json()
    return {key: value[key] for key in value if key not in {"run_id", "duration_ms", "timings"}}


@pytest.mark.parametrize("action", [Action.UP, Action.PLAN, Action.VALIDATE])
def test_same_bytes_are_not_listed_again(
    applied: Project, listings: mock.Mock, action: Action
) -> None:
    """The report is what it is with a listing."""
    report = applied.run(action)
    assert (Status.UP_TO_DATE, "10") == (report.status, report.from_version)
    listings.assert_not_called()
    forget(applied)
    assert comparable(applied.run(action)) == comparable(report)
    listings.assert_called_once()


def test_request_about_some_versions_lists(applied: Project, listings: mock.Mock) -> None:
    """It has to know which there are."""
    assert applied.run(target="2").status is Status.UP_TO_DATE
    applied.run(Action.STATUS)
    assert listings.call_count == 2


def rename(project: Project, name: str, new: str) -> None:
    """Give a migration another name."""
    (project.folder / name).rename(project.folder / new)


CHANGES: dict[str, Callable[[Project], object]] = {
    "comment": lambda p: p.write({"1_a.sql": "-- why\n" + FILES["1_a.sql"]}),
    "statement": lambda p: p.write({"1_a.sql": "CREATE TABLE a (id int);\n"}),
    "newline": lambda p: p.write({"1_a.sql": FILES["1_a.sql"] + "\n"}),
    "moved newline": lambda p: p.write(
        {"1_a.sql": FILES["1_a.sql"][:-1], "2_b.sql": "\n" + FILES["2_b.sql"]}
    ),
    "down script": lambda p: p.write({"2_b.sql": FILES["2_b.sql"] + "SELECT 1;\n"}),
    "repeatable": lambda p: p.write({"R__v.sql": FILES["R__v.sql"] + "SELECT 1;\n"}),
    "new file": lambda p: p.write({"11_d.sql": "SELECT 1;\n"}),
    "new file between": lambda p: p.write({"3_d.sql": "SELECT 1;\n"}),
    "new repeatable": lambda p: p.write({"R__w.sql": "SELECT 1;\n"}),
    "no migration's name": lambda p: p.write({"notes.sql": "SELECT 1;\n"}),
    "name": lambda p: rename(p, "2_b.sql", "2_bb.sql"),
    "version": lambda p: rename(p, "2_b.sql", "3_b.sql"),
    "folder": lambda p: rename(p, "2_b.sql", "sub/2_b.sql"),
    "removed": lambda p: p.remove("sub/10_c.sql"),
    "not UTF-8": lambda p: (p.folder / "1_a.sql").write_bytes(b"SELECT '\xff';\n"),
    "row's checksum": lambda p: p.database.run(
        "UPDATE lockgate.migration_history SET up_checksum = 'sha256:0' WHERE version = '1'"
    ),
    "row": lambda p: p.database.run("DELETE FROM lockgate.migration_history WHERE version = '10'"),
    "rows": lambda p: p.database.run("DELETE FROM lockgate.migration_history"),
    "state": lambda p: p.database.run(
        "UPDATE lockgate.migration_history SET state = 'partial' WHERE version = '10'"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_met_as_by_a_listing(applied: Project, listings: mock.Mock, change: str) -> None:
    """Whatever has changed, in the folder or in the history, is found by a listing."""
    CHANGES[change](applied)
    plan = applied.run(Action.PLAN)
    listings.assert_called_once()
    forget(applied)
    assert comparable(applied.run(Action.PLAN)) == comparable(plan)


@pytest.mark.parametrize(
    ("name", "other"),
    [("__version__", "9.9.9"), ("sys", SimpleNamespace(version_info=(9, 9, 9)))],
)
def test_other_release_or_python_lists(
    applied: Project,
    listings: mock.Mock,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    other: object,
) -> None:
    """It may read files in another way."""
    monkeypatch.setattr(native, name, other)
    assert applied.run().status is Status.UP_TO_DATE
    listings.assert_called_once()


def test_each_run_with_work_remembers(applied: Project, listings: mock.Mock) -> None:
    """Up and down: once the folder is applied again, it is known."""
    report = applied.do(Action.DOWN, target="1", allow_data_loss=True)
    assert report.status is Status.ROLLED_BACK
    assert applied.run().status is Status.APPLIED
    applied.write({"11_d.sql": "SELECT 1;\n"})
    report = applied.run()
    assert (Status.APPLIED, "11") == (report.status, report.to_version)
    listings.reset_mock()
    report = applied.run()
    assert (Status.UP_TO_DATE, "11") == (report.status, report.to_version)
    listings.assert_not_called()


def test_failed_run_leaves_its_work_to_the_next(applied: Project, listings: mock.Mock) -> None:
    """What is kept is of the whole folder, and the history is not all of it."""
    applied.write({"11_d.sql": "SELECT 1/0;\n"})
    assert applied.run().status is Status.FAILED
    listings.reset_mock()
    assert applied.run().status is Status.FAILED
    listings.assert_called_once()


def test_small_folder_keeps_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listed while the server answers."""
    monkeypatch.setattr(native, "LISTED_AT_ONCE", len(FILES))
    project.write(FILES)
    project.run()
    assert read_known(project) is None


def test_folder_with_variables_keeps_nothing(project: Project) -> None:
    """Whether one is set, the files do not tell."""
    project.write({"1_a.sql": "-- MIGRATE:env on\nSELECT '${NAME:-x}';\n"})
    assert project.run().status is Status.APPLIED
    assert read_known(project) is None


@pytest.mark.parametrize("text", ["", "x", "a b", "a b c", "a b \u0663"])
def test_text_of_another_kind_counts_for_nothing(applied: Project, text: str) -> None:
    """Somebody wrote it by hand."""
    applied.database.run("UPDATE lockgate.migration_lock SET known_folder = :text", text=text)
    assert applied.run().status is Status.UP_TO_DATE


def test_killed_run_is_tidied_up_after(applied: Project) -> None:
    """With nothing to do either, the lock of a run that is gone is freed."""
    applied.database.run(
        "UPDATE lockgate.migration_lock SET owner = 'gone', caller = 'test', backend_pid = 1,"
        " backend_start = now(), taken_at = now(), expires_at = now() + interval '1 hour'"
    )
    assert applied.run().status is Status.UP_TO_DATE
    assert applied.lock_owner() is None


@pytest.mark.parametrize("statement", ["DROP COLUMN known_folder", "ADD CHECK (known_folder = '')"])
def test_table_that_keeps_no_folder_costs_no_report(
    project: Project, listings: mock.Mock, statement: str
) -> None:
    """Its columns are of a time before this one, or the role may not write it."""
    project.write(FILES)
    project.run()
    forget(project)
    project.database.run(f"ALTER TABLE lockgate.migration_lock {statement}")
    project.write({"11_d.sql": "SELECT 1;\n"})
    report = project.run()
    assert (Status.APPLIED, []) == (report.status, list(report.warnings))
    assert project.lock_owner() is None
    stored = project.database.run(
        "SELECT report ->> 'status' FROM lockgate.migration_run ORDER BY token DESC LIMIT 1"
    )
    assert [["applied"]] == stored
    listings.reset_mock()
    assert project.run().status is Status.UP_TO_DATE
    listings.assert_called_once()


def test_folder_is_not_held_as_bytes_and_as_text(tmp_path: Path) -> None:
    """Of a large folder, each file's bytes go when its text comes."""
    for number in range(20):
        (tmp_path / f"{number}_a.sql").write_text(f"-- {'x' * 1_000_000}\n")
    tracemalloc.start()
    try:
        folder = native.open_folder(tmp_path, {})
        listing = folder.make_listing()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(listing.lines) == 20
    assert held < 21_000_000
    assert peak < 26_000_000
