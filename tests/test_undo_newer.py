"""A newer deploy is undone automatically only if records prove that this package is older."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from lockgate.core.request import Action, Repair
from lockgate.report.report import Status
from lockgate.terminal.arguments import parse_arguments

if TYPE_CHECKING:
    from tests.support.project import Project

    from lockgate.report.report import Report

UP = "-- migrate:up\nCREATE TABLE {0} (id int);\n-- migrate:down\nDROP TABLE {0};\n"
FILES = {f"{n}_{name}.sql": UP.format(name) for n, name in enumerate(("a", "b", "c", "d"), 1)}
OPERATOR: dict[str, Any] = {"reason": "r", "requested_by": "me"}


@pytest.fixture
def stack(project: Project) -> Project:
    """Give an empty folder whose runs undo a newer deploy."""
    project.settings["LOCKGATE_ROLLBACK"] = "deploy"
    return project


def write_package(project: Project, *numbers: int) -> None:
    """Make a package with exactly these migrations."""
    for path in project.folder.glob("*.sql"):
        path.unlink()
    project.write({name: text for name, text in FILES.items() if int(name[0]) in numbers})


def deploy(project: Project, *numbers: int) -> Report:
    """Run a package with exactly these migrations."""
    write_package(project, *numbers)
    return project.run()


def refused(report: Report, reason: str, ahead: list[str]) -> None:
    """Check that nothing was undone, that the report gives the reason, and that the run succeeded."""
    assert (Status.UP_TO_DATE, None) == (report.status, report.error)
    assert ahead == [entry.version for entry in report.ahead]
    assert () == report.reverted
    (warning,) = report.warnings
    assert re.match(
        "The database is ahead of this package, and the newer migrations (are|were) not undone: ",
        warning,
    )
    assert reason in warning


def test_package_that_was_deployed_before_is_brought_back(stack: Project) -> None:
    """A package whose catalog was recorded before the newer rows undoes them."""
    assert Status.APPLIED == deploy(stack, 1, 2).status
    assert Status.APPLIED == deploy(stack, 1, 2, 3).status
    report = deploy(stack, 1, 2)
    assert (Status.ROLLED_BACK, ["3"]) == (report.status, [one.version for one in report.reverted])
    assert Status.APPLIED == deploy(stack, 1, 2, 3, 4).status
    report = deploy(stack, 1, 2)
    assert (Status.ROLLED_BACK, ["4", "3"]) == (
        report.status,
        [one.version for one in report.reverted],
    )


def planned(report: Report) -> list[tuple[str | None, str | None]]:
    """Return version and reason of each step that is pending."""
    return [(entry.version, entry.reason) for entry in report.pending]


@pytest.mark.parametrize("action", [Action.PLAN, Action.VALIDATE, Action.STATUS])
def test_bring_back_is_planned_as_up_does_it(stack: Project, action: Action) -> None:
    """What an up undoes is pending before what it applies, and is still listed as ahead."""
    deploy(stack, 1, 2)
    deploy(stack, 1, 2, 3, 4)
    write_package(stack, 1, 2)
    report = stack.run(action)
    assert (Status.PLANNED, None) == (report.status, report.error)
    assert [("4", "reverted"), ("3", "reverted")] == planned(report)
    assert [("4", "3")] == [one.migrations for one in report.segments]
    assert ["3", "4"] == [one.version for one in report.ahead]
    done = stack.run()
    assert (Status.ROLLED_BACK, ["4", "3"]) == (done.status, [one.version for one in done.reverted])
    assert (Status.UP_TO_DATE, ()) == (stack.run(action).status, stack.run(action).pending)


@pytest.mark.parametrize("action", [Action.PLAN, Action.STATUS])
def test_bring_back_without_a_proof_is_not_planned(stack: Project, action: Action) -> None:
    """What an up cannot prove to be safe is not planned, and the reason is a warning."""
    deploy(stack, 1, 2)
    deploy(stack, 1, 2, 3)
    stack.database.run("UPDATE lockgate.migration_run SET undo_facts = NULL")
    write_package(stack, 1, 2)
    report = stack.run(action)
    refused(report, "It cannot be proved that an automatic undo is safe", ["3"])
    refused(stack.run(), "It cannot be proved that an automatic undo is safe", ["3"])


@pytest.mark.parametrize("level", ["off", "run"])
def test_plan_brings_nothing_back_at_other_levels(stack: Project, level: str) -> None:
    """Without the setting, nothing that is ahead is planned to be undone."""
    deploy(stack, 1, 2)
    deploy(stack, 1, 2, 3)
    write_package(stack, 1, 2)
    report = stack.run(Action.PLAN, LOCKGATE_ROLLBACK=level)
    assert (Status.UP_TO_DATE, ()) == (report.status, report.pending)


def runs_with_facts(project: Project) -> list[int]:
    """Return the tokens of the runs whose undo facts are kept."""
    rows = project.database.run(
        "SELECT token FROM lockgate.migration_run WHERE undo_facts IS NOT NULL ORDER BY token"
    )
    return [row[0] for row in rows]


def test_several_deploys_are_brought_back_by_the_facts_of_each(stack: Project) -> None:
    """Facts stay while an older package may need them, and go with what they are about."""
    deploy(stack, 1)
    deploy(stack, 1, 2)
    deploy(stack, 1, 2, 3)
    assert [1, 2, 3] == runs_with_facts(stack)
    report = deploy(stack, 1)
    assert (Status.ROLLED_BACK, ["3", "2"]) == (
        report.status,
        [one.version for one in report.reverted],
    )
    assert [1] == runs_with_facts(stack)


def test_facts_behind_a_run_without_any_are_removed(stack: Project) -> None:
    """What lies behind a run that recorded nothing can no longer be undone by its facts."""
    deploy(stack, 1)
    deploy(stack, 1, 2)
    stack.settings["LOCKGATE_ROLLBACK"] = "run"
    deploy(stack, 1, 2, 3)
    assert [] == runs_with_facts(stack)
    stack.settings["LOCKGATE_ROLLBACK"] = "deploy"
    deploy(stack, 1, 2, 3, 4)
    assert [4] == runs_with_facts(stack)
    assert Status.ROLLED_BACK == deploy(stack, 1, 2, 3).status
    refused(deploy(stack, 1), "It cannot be proved that an automatic undo is safe", ["2", "3"])


def test_facts_of_the_last_deploys_are_kept(stack: Project) -> None:
    """The facts of the last ten deploys are kept, however many there were."""
    for number in range(1, 14):
        stack.write({f"{number}_t.sql": UP.format(f"t{number}")})
        assert Status.APPLIED == stack.run().status
    assert list(range(4, 14)) == runs_with_facts(stack)


def test_run_with_nothing_to_do_removes_no_facts(stack: Project) -> None:
    """A run that changes nothing writes nothing, not even to remove what is of no use."""
    deploy(stack, 1)
    stack.database.run("UPDATE lockgate.migration_run SET catalog_digest = NULL")
    stack.database.run("UPDATE lockgate.migration_history SET run_id = 'other'")
    before = stack.database.run("SELECT ctid, xmin FROM lockgate.migration_run")
    assert Status.UP_TO_DATE == deploy(stack, 1).status
    assert before == stack.database.run("SELECT ctid, xmin FROM lockgate.migration_run")
    assert [1] == runs_with_facts(stack)
    deploy(stack, 1, 2)
    assert [2] == runs_with_facts(stack)


def test_tables_of_an_earlier_build_keep_no_facts(stack: Project) -> None:
    """Where an earlier build left no column for facts, the next run adds it and keeps its own."""
    deploy(stack, 1)
    stack.database.run("ALTER TABLE lockgate.migration_run DROP COLUMN undo_facts")
    assert Status.APPLIED == deploy(stack, 1, 2).status
    assert [2] == runs_with_facts(stack)


def test_package_that_lacks_files_undoes_nothing(stack: Project) -> None:
    """A package whose exact catalog was never recorded undoes nothing."""
    assert Status.APPLIED == deploy(stack, 1, 2, 3).status
    refused(deploy(stack, 1, 2), "No earlier run recorded exactly the migrations", ["3"])
    assert 3 == len(stack.history())
    assert ["applied"] == stack.runs()


def test_branch_undoes_nothing_and_applies_its_own(stack: Project) -> None:
    """A branch's package applies its pending migrations and leaves unknown ones."""
    stack.settings["LOCKGATE_OUT_OF_ORDER"] = "apply"
    assert Status.APPLIED == deploy(stack, 1, 3).status
    report = deploy(stack, 1, 2)
    assert (Status.APPLIED, ["2"]) == (report.status, [entry.version for entry in report.applied])
    assert "not undone: No earlier run recorded" in report.warnings[0]
    refused(deploy(stack, 1, 2), "No earlier run recorded", ["3"])
    assert 3 == len(stack.history())


def test_digest_recorded_after_the_newer_versions_is_not_evidence(stack: Project) -> None:
    """A package recorded after the rows it does not know undoes nothing."""
    assert Status.APPLIED == deploy(stack, 1, 2).status
    stack.database.run("UPDATE lockgate.migration_run SET token = 100")
    stack.database.run("UPDATE lockgate.migration_lock SET token = 10")
    assert Status.APPLIED == deploy(stack, 1, 2, 3).status
    refused(deploy(stack, 1, 2), "No earlier run recorded", ["3"])


@pytest.mark.parametrize(
    "change",
    [
        "status = 'failed'",
        "status = 'abandoned'",
        "finished_at = NULL",
        "catalog_digest = NULL",
        "catalog_digest = 'x'",
    ],
)
def test_unfinished_run_is_not_evidence(stack: Project, change: str) -> None:
    """Only a finished, successful run of exactly this catalog is evidence."""
    assert Status.APPLIED == deploy(stack, 1, 2).status
    stack.database.run(f"UPDATE lockgate.migration_run SET {change}")
    assert Status.APPLIED == deploy(stack, 1, 2, 3).status
    refused(deploy(stack, 1, 2), "No earlier run recorded", ["3"])


def test_tables_of_an_earlier_build_contain_no_evidence(stack: Project) -> None:
    """Tables of an earlier build lack the digest column, so nothing is undone."""
    assert Status.APPLIED == deploy(stack, 1, 2).status
    assert Status.APPLIED == deploy(stack, 1, 2, 3).status
    stack.database.run("ALTER TABLE lockgate.migration_run DROP COLUMN catalog_digest")
    refused(deploy(stack, 1, 2), "No earlier run recorded", ["3"])


@pytest.mark.parametrize(
    ("action", "word"),
    [(Action.BASELINE, "baselined"), (Action.REPAIR, "marked"), (Action.ADOPT, "adopted")],
)
def test_rows_that_no_run_applied_are_never_undone(
    stack: Project, action: Action, word: str
) -> None:
    """Rows that were baselined, marked or adopted are never undone automatically."""
    stack.write({name: text for name, text in FILES.items() if name[0] in "12"})
    if action is Action.REPAIR:
        assert Status.APPLIED == stack.run().status
        stack.write({"3_c.sql": FILES["3_c.sql"]})
        stack.do(action, repair=Repair.MARK, version="3", **OPERATOR)
    elif action is Action.BASELINE:
        stack.write({"3_c.sql": FILES["3_c.sql"]})
        assert Status.APPLIED == stack.do(action, target="3", **OPERATOR).status
    else:
        stack.write({"3_c.sql": FILES["3_c.sql"]})
        stack.database.run(
            "CREATE TABLE schema_migrations (version varchar PRIMARY KEY);"
            "INSERT INTO schema_migrations VALUES ('1'), ('2'), ('3')"
        )
        assert Status.APPLIED == stack.do(action, source="dbmate", **OPERATOR).status
    refused(deploy(stack, 1, 2), f"Migration 3 c was {word}, not applied by a run.", ["3"])
    assert 3 == len(stack.history())


def test_row_of_an_unrecorded_run_is_not_undone(stack: Project) -> None:
    """A row whose run has no record is not undone."""
    assert Status.APPLIED == deploy(stack, 1, 2).status
    assert Status.APPLIED == deploy(stack, 1, 2, 3).status
    stack.database.run("DELETE FROM lockgate.migration_run WHERE token = 2")
    refused(deploy(stack, 1, 2), "No record exists of the run that applied migration 3 c.", ["3"])


@pytest.mark.parametrize("level", ["off", "run", "deploy"])
def test_edited_file_is_drift_though_something_is_ahead(stack: Project, level: str) -> None:
    """An edited applied file is drift even if the database is ahead."""
    assert Status.APPLIED == deploy(stack, 1, 2, 3).status
    stack.remove("3_c.sql")
    stack.write({"1_a.sql": UP.format("a").replace("id int", "id bigint")})
    for action in (Action.UP, Action.PLAN, Action.VALIDATE):
        report = stack.run(action, LOCKGATE_ROLLBACK=level)
        assert report.error is not None
        assert (Status.REFUSED, "drift-detected") == (report.status, report.error.code)
    assert 3 == len(stack.history())


@pytest.mark.parametrize("level", ["off", "run", "deploy"])
def test_rolled_back_stack_succeeds_with_a_text_that_a_newer_package_edited(
    stack: Project, level: str
) -> None:
    """After a stack rollback, a text that a newer package edited does not fail the run."""
    assert Status.APPLIED == deploy(stack, 1, 2).status
    edited = UP.format("a").replace("id int", "id integer")
    stack.write({"1_a.sql": edited})
    stack.do(Action.REPAIR, repair=Repair.ACCEPT, version="1", dry_run=False, **OPERATOR)
    stack.write({"3_c.sql": FILES["3_c.sql"]})
    assert Status.APPLIED == stack.run().status
    stack.settings["LOCKGATE_ROLLBACK"] = level
    report = deploy(stack, 1, 2)
    assert report.error is None
    assert report.is_success
    assert "Migration 1 a " in report.warnings[0]


def test_run_that_leaves_something_out_records_no_digest(stack: Project) -> None:
    """A run with a target records no catalog digest, because it leaves migrations pending."""
    stack.write(FILES)
    assert Status.APPLIED == stack.run(target="2").status
    assert [[None]] == stack.database.run("SELECT catalog_digest FROM lockgate.migration_run")
    assert Status.APPLIED == stack.run().status
    digests = stack.database.run(
        "SELECT catalog_digest IS NOT NULL FROM lockgate.migration_run ORDER BY token"
    )
    assert [[False], [True]] == digests


def test_warning_has_the_command_that_undoes_it_on_purpose(stack: Project) -> None:
    """The warning contains a complete command that undoes the newer migrations."""
    assert Status.APPLIED == deploy(stack, 1, 2, 3).status
    report = deploy(stack, 1, 2)
    found = re.search(r"lockgate (down .*)$", report.warnings[0])
    assert found is not None
    options = parse_arguments(shlex.split(found[1]))
    assert (Action.DOWN, "2") == (options.action, options.target)
